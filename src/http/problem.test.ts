import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { schemas } from '#api';
import { Fault, type FaultCode, faults, type LogFields, newId, silentLog } from '#kernel';
import { faultFrom, problemOf } from './problem.ts';

const id = newId('req');

describe('problem documents', () => {
  it.each(Object.keys(faults) as FaultCode[])('renders %s as the contract promises', (code) => {
    const { status, headers, body } = problemOf(new Fault(code), id);
    expect(schemas.problem.parse(JSON.parse(body))).toMatchObject({ code, status, source: 'gatehouse', request_id: id });
    expect(headers['content-type']).toMatch(/^application\/problem\+json/);
  });

  it('says when to come back', () => {
    expect(problemOf(new Fault('rate_limited', { retryAfter: 6.2 }), id).headers['retry-after']).toBe('7');
    expect(problemOf(new Fault('unavailable'), id).headers['retry-after']).toBe('5');
  });

  it('never shows why something broke', () => {
    const cause = new Error('password hunter2 at /var/lib');
    const { body } = problemOf(faultFrom(cause, silentLog, id), id);
    expect(body).not.toMatch(/hunter2|var/);
    expect(JSON.parse(body)).toMatchObject({ code: 'internal', status: 500 });
  });

  it('does not log what a parser quotes from its input', () => {
    const lines: (LogFields | undefined)[] = [];
    const log = { ...silentLog, error: (_: string, fields?: LogFields) => lines.push(fields) };
    const quoting = [() => JSON.parse('{"key":"hunter2'), () => z.strictObject({}).parse({ hunter2: 1 })];
    for (const run of quoting) {
      try {
        run();
      } catch (error) {
        faultFrom(error, log, id);
      }
    }
    expect(lines).toHaveLength(2);
    expect(JSON.stringify(lines)).not.toContain('hunter2');
  });
});
