import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { systemClock } from '#kernel';
import { testWith } from '../../../test/support/need.ts';
import { findProgram } from '../run/folder.ts';
import { trialCertificates } from './certificate.ts';
import { tryRuntimes } from './trial.ts';

test('the leaf is for one host, for a day, under an authority that may sign nothing further', () => {
  const { authorityPem, leafPem } = trialCertificates('doctor.example', Date.now());
  const [authority, leaf] = [new X509Certificate(authorityPem), new X509Certificate(leafPem)];
  expect([authority.ca, leaf.ca, leaf.verify(authority.publicKey), leaf.checkIssued(authority)]).toEqual([true, false, true, true]);
  expect([leaf.checkHost('doctor.example'), leaf.checkHost('other.example')]).toEqual(['doctor.example', undefined]);
  expect(new Date(leaf.validTo).getTime() - Date.now()).toBeLessThan(25 * 3_600_000);
});

test('runtimes that are installed are found to use and trust the proxy, and the others are said to be missing', async () => {
  const told: string[] = [];
  const results = await tryRuntimes({ PATH: dirname(process.execPath), HOME: '/nonexistent' }, systemClock, (result) =>
    told.push(result.runtime),
  );
  const of = (name: string) => results.find((result) => result.runtime === name)?.result;
  expect([of('node fetch'), of('node https'), of('node https agent'), of('ruby')]).toEqual(['works', 'works', 'works', 'not installed']);
  expect(told.length).toBe(results.length);
});

const programs = ['wget', 'go', 'ruby', 'gh', 'kubectl'];
testWith(...programs)(
  'each program is started as run would start it, and with what it makes no call without',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gatehouse-programs-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    for (const name of programs) symlinkSync(findProgram(name, process.env.PATH) as string, join(folder, name));
    const results = await tryRuntimes({ PATH: folder, HOME: folder }, systemClock, () => {});
    const found = results.filter(({ result }) => result !== 'not installed');
    expect(found).toEqual(programs.map((runtime) => ({ runtime, result: 'works' })));
  },
  120_000,
);
