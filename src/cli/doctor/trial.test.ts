import { X509Certificate } from 'node:crypto';
import { dirname } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '#kernel';
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
