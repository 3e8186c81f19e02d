import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkReach, parseReach, printReach } from './reach.ts';
import { riskClasses } from './vocabulary.ts';

const empty = { classes: [], operations: [], patterns: [], everything: false };

describe('the text of a reach', () => {
  it.each([
    ['read', { ...empty, classes: ['read'] }],
    ['read, write', { ...empty, classes: ['read', 'write'] }],
    ['everything', { ...empty, everything: true }],
    ['op:issues.create', { ...empty, operations: ['issues.create'] }],
    ['GET /repos/**', { ...empty, patterns: [{ methods: ['GET'], path: '/repos/**' }] }],
    ['GET|HEAD  /a', { ...empty, patterns: [{ methods: ['GET', 'HEAD'], path: '/a' }] }],
    ['/a/*', { ...empty, patterns: [{ methods: [], path: '/a/*' }] }],
    ['* /a', { ...empty, patterns: [{ methods: [], path: '/a' }] }],
    ['read,read,/a,/a,op:x,op:x', { classes: ['read'], operations: ['x'], patterns: [{ methods: [], path: '/a' }], everything: false }],
    ['mint-credential,message-a-person', { ...empty, classes: ['mint-credential', 'message-a-person'] }],
  ])('%s is understood', (text, reach) => {
    expect(parseReach(text)).toEqual(reach);
  });

  it.each([
    '',
    ',',
    'read,',
    'reads',
    'READ',
    'op:',
    'op:A',
    'op:a b',
    'get /a',
    'GET a',
    'GET /a?b',
    'GET /a#b',
    '/a/**/b',
    'GET  POST /a',
    'everything!',
    '|/a',
    'GET| /a',
  ])('"%s" is refused', (text) => {
    expect(() => parseReach(text)).toThrow(expect.objectContaining({ code: 'invalid_request' }));
  });

  it('says which part is not understood, and never repeats it', () => {
    expect(() => parseReach('read,<script>')).toThrow('part 2 of the reach is not understood');
  });

  it('printed and parsed is the same', () => {
    const operation = fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,20}$/);
    const path = fc
      .array(fc.oneof(fc.stringMatching(/^[a-z0-9%._~-]{1,6}$/), fc.constant('*')), { maxLength: 4 })
      .map((parts) => `/${parts.join('/')}`);
    const pattern = fc.record({ methods: fc.uniqueArray(fc.constantFrom('GET', 'POST', 'DELETE'), { maxLength: 3 }), path });
    const reach = fc.record({
      classes: fc.uniqueArray(fc.constantFrom(...riskClasses)).map((names) => riskClasses.filter((name) => names.includes(name))),
      operations: fc.uniqueArray(operation, { maxLength: 4 }),
      patterns: fc.uniqueArray(pattern, { maxLength: 4, selector: (one) => JSON.stringify(one) }),
      everything: fc.boolean(),
    });
    fc.assert(
      fc.property(reach, (value) => {
        fc.pre(value.everything || value.classes.length + value.operations.length + value.patterns.length > 0);
        expect(parseReach(printReach(value))).toEqual(value);
      }),
    );
  });
});

describe('a reach from elsewhere', () => {
  it('is refused when it is empty, or a pattern in it is not well-formed', () => {
    expect(() => checkReach(empty)).toThrow('the reach is empty');
    expect(() => checkReach({ ...empty, patterns: [{ methods: [], path: '/a/**/b' }] })).toThrow(
      expect.objectContaining({ code: 'invalid_request' }),
    );
    expect(() => checkReach({ ...empty, operations: Array.from({ length: 300 }, (_, i) => `o${i}`) })).toThrow(
      expect.objectContaining({ code: 'invalid_request' }),
    );
  });
});
