import { expect, test } from 'vitest';
import { isApart, type Place, placeOfThisProcess } from '#config';
import { asServer, userOutside } from './place.ts';

const at = (machine: string, user?: number): Place => (user === undefined ? { machine } : { machine, user });

test.each([
  ['another machine', at('b', 1000), at('a', 1000), true],
  ['another machine, as root here', at('b', 1000), at('a', 0), true],
  ['another user of this machine', at('a', 990), at('a', 1000), true],
  ['root of this machine', at('a', 0), at('a', 1000), true],
  ['this very user', at('a', 1000), at('a', 1000), false],
  ['another user, but we are root and read everything', at('a', 990), at('a', 0), false],
  ['this machine, and users have no numbers', at('a'), at('a'), false],
])('a server of %s: apart or not', (_, theirs, own, apart) => {
  expect(isApart(theirs, own)).toBe(apart);
});

test('a user of a namespace is counted as the machine counts them', () => {
  const rootless = '         0       1000          1\n         1     100000      65536\n';
  expect([0, 1, 5].map((user) => userOutside(user, rootless))).toEqual([1000, 100_000, 100_004]);
  expect(userOutside(1000, '         0          0 4294967295\n')).toBe(1000);
  expect(userOutside(1000, '')).toBe(1000);
});

test.each([
  ['the machine’s own users', '         0          0 4294967295\n', true],
  ['no namespaces at all', '', true],
  ['a rootless container', '         0       1000          1\n         1     100000      65536\n', false],
  ['a container that keeps the name of its user, in a namespace inside another', '0 1 1000\n1000 0 1\n1001 1001 64536\n', false],
])('a server among %s is apart from another user, or nobody can say', (_, map, apart) => {
  const [inside, own] = [1000, at('a', 1001)];
  expect(isApart(asServer(at('a', userOutside(inside, map)), map), own)).toBe(apart);
});

test('two processes of one machine see the same machine', () => {
  expect(placeOfThisProcess()).toEqual(placeOfThisProcess());
  expect(placeOfThisProcess().machine).toMatch(/^[0-9a-f]{32}$/);
});
