import { expect, it } from 'vitest';
import { type ClientId, newId } from '#kernel';
import { logoutJob } from './logout-jobs.ts';

it('is one job for a client of a session, with a key that fits into its column however long the URL of the client is', () => {
  const left = { organization: newId('org'), sid: 's'.repeat(64), user: newId('usr') };
  const [one, another] = ['a', 'b'].map((end) => `https://client.example/${'x'.repeat(488)}${end}` as ClientId);
  const keyOf = (client: ClientId | undefined) => logoutJob({ ...left, client: client as ClientId }).uniqueKey;
  expect(keyOf(one).length).toBeLessThanOrEqual(512);
  expect(keyOf(one)).toBe(keyOf(one));
  expect(keyOf(one)).not.toBe(keyOf(another));
});
