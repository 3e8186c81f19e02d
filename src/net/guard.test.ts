import { networkInterfaces } from 'node:os';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseAddress } from './addresses.ts';
import { createGuard } from './guard.ts';

const bytes = (text: string) => parseAddress(text)!;

test('a private address is refused until the operator opens it, for that host and port only', () => {
  const guard = createGuard([{ host: 'api.internal', port: 443, cidr: '10.1.0.0/16' }]);
  expect(guard.passes('api.internal', 443, bytes('10.1.2.3'))).toBe(true);
  expect(guard.passes('API.internal', 443, bytes('10.1.2.3'))).toBe(true);
  expect(guard.passes('api.internal', 443, bytes('10.2.2.3'))).toBe(false);
  expect(guard.passes('api.internal', 8443, bytes('10.1.2.3'))).toBe(false);
  expect(guard.passes('other.internal', 443, bytes('10.1.2.3'))).toBe(false);
  expect(createGuard([]).passes('api.internal', 443, bytes('10.1.2.3'))).toBe(false);
});

test('metadata addresses stay closed however widely the operator opens', () => {
  const guard = createGuard([
    { host: 'trap.internal', port: 80, cidr: '0.0.0.0/0' },
    { host: 'trap.internal', port: 80, cidr: '::/0' },
  ]);
  for (const text of [
    '169.254.169.254',
    '::ffff:169.254.169.254',
    'fd00:ec2::254',
    '100.100.100.200',
    '64:ff9b::a9fe:a9fe',
    '0.0.0.0',
    '::',
  ]) {
    expect(guard.passes('trap.internal', 80, bytes(text)), text).toBe(false);
  }
  expect(guard.passes('trap.internal', 80, bytes('192.168.7.7'))).toBe(true);
});

test('our own listener stays closed, in every spelling of its address', () => {
  const guard = createGuard([
    { host: 'trap.internal', port: 7300, cidr: '127.0.0.0/8' },
    { host: 'trap.internal', port: 7300, cidr: '::/0' },
  ]);
  guard.own('127.0.0.1', 7300);
  expect(guard.passes('trap.internal', 7300, bytes('127.0.0.1'))).toBe(false);
  expect(guard.passes('trap.internal', 7300, bytes('::ffff:127.0.0.1'))).toBe(false);
  expect(guard.passes('trap.internal', 7300, bytes('127.0.0.2'))).toBe(true);
});

test('a listener on every address is ours at each address of this machine', () => {
  const ours = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((one) => one.address.split('%')[0]!));
  const openings = ['0.0.0.0/0', '::/0'].map((cidr) => ({ host: 'trap.internal', port: 7300, cidr }));
  const guard = createGuard(openings);
  guard.own('0.0.0.0', 7300);
  for (const address of [...ours, '127.0.0.1', '127.9.9.9'])
    expect(guard.passes('trap.internal', 7300, bytes(address)), address).toBe(false);
  expect(guard.passes('trap.internal', 7300, bytes('10.255.254.253'))).toBe(true);
});

test('a malformed opening is an error of the setting', () => {
  for (const cidr of ['10.0.0.0', '10.0.0.0/33', 'everything']) {
    expect(() => createGuard([{ host: 'a.internal', port: 1, cidr }])).toThrow(expect.objectContaining({ code: 'invalid_setting' }));
  }
  expect(() => createGuard([{ host: '0x7f.1', port: 1, cidr: '127.0.0.0/8' }])).toThrow(
    expect.objectContaining({ code: 'invalid_setting' }),
  );
});

test('wrapping a refused v4 address in v6 never makes it pass', () => {
  const guard = createGuard([]);
  const octet = fc.integer({ min: 0, max: 255 });
  const hex = (a: number, b: number) => ((a << 8) | b).toString(16);
  fc.assert(
    fc.property(octet, octet, octet, octet, (a, b, c, d) => {
      const plain = guard.passes('h.example', 443, bytes(`${a}.${b}.${c}.${d}`));
      const low = `${hex(a, b)}:${hex(c, d)}`;
      const wrapped = [`::ffff:${low}`, `64:ff9b::${low}`, `::ffff:0:${low}`, `64:ff9b:1::${low}`, `2002:${low}::1`, `2a00::5efe:${low}`];
      return wrapped.every((text) => !guard.passes('h.example', 443, bytes(text)) || plain);
    }),
  );
});

test('a server that we stand on stays closed by its name, in every spelling, and on its port only', () => {
  const guard = createGuard([
    { host: 'db.internal', port: 5432, cidr: '10.0.0.0/8' },
    { host: 'db.internal', port: 443, cidr: '10.0.0.0/8' },
  ]);
  const address = bytes('10.1.2.3');
  guard.ownName('DB.internal', 5432);
  expect(guard.passes('db.internal', 5432, address)).toBe(false);
  expect(guard.passes('db.internal.', 5432, address)).toBe(false);
  expect(guard.passes('db.internal', 443, address)).toBe(true);
});
