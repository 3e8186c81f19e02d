import { expect, test } from 'vitest';
import { isFault } from '#kernel';
import { type DatabaseOptions, databaseServer, warningsOf } from './database-server.ts';

const read = (url: string, more: Partial<DatabaseOptions> = {}) => databaseServer({ url, schema: 'gatehouse', ...more });
const checks = (url: string, tls: DatabaseOptions['tls'] = {}) => {
  const found = read(url, { tls })?.tls;
  return found && [found.authority, found.name];
};

test('another machine is verified in full unless the URL says less; this one needs no TLS unless an authority is given', () => {
  expect(checks('postgres://db.internal/g')).toEqual([true, true]);
  expect(checks('mysql://db.internal/g')).toEqual([true, true]);
  expect(checks('postgres://10.0.0.7/g')).toEqual([true, true]);
  for (const host of ['localhost', '127.0.0.1', '[::1]']) expect(checks(`postgres://${host}/g`)).toBeUndefined();
  expect(checks('postgres://localhost/g', { ca: 'pem' })).toEqual([true, true]);
  expect(checks('postgres://db.internal/g?host=/run/postgresql')).toBeUndefined();
});

test('sslmode means what it means to libpq', () => {
  expect(checks('postgres://db.internal/g?sslmode=disable')).toBeUndefined();
  expect(checks('postgres://db.internal/g?sslmode=require')).toEqual([false, false]);
  expect(checks('postgres://db.internal/g?sslmode=require', { ca: 'pem' })).toEqual([true, false]);
  expect(checks('postgres://localhost/g?sslmode=verify-ca')).toEqual([true, false]);
  expect(checks('postgres://localhost/g?sslmode=verify-full')).toEqual([true, true]);
});

test('a way to another machine that somebody in between could take is warned of', () => {
  const warnings = (url: string, tls: DatabaseOptions['tls'] = {}) => {
    const server = read(url, { tls });
    return server === undefined ? [] : warningsOf(server);
  };
  expect(warnings('postgres://db.internal/g?sslmode=disable')).toEqual([expect.stringContaining('not encrypted')]);
  expect(warnings('mysql://db.internal/g?sslmode=require')).toEqual([expect.stringContaining('not checked')]);
  expect(warnings('mysql://db.internal/g?sslmode=require', { ca: 'pem' })).toEqual([]);
  expect(warnings('postgres://localhost/g?sslmode=disable')).toEqual([]);
  expect(warnings('postgres://db.internal/g')).toEqual([]);
});

test('half a client certificate, a name that cannot be checked, and a pooler that there is not are refused', () => {
  const refused = (setting: string) =>
    expect.toSatisfy((error: unknown) => isFault(error, 'invalid_setting') && setting in (error.details.fields ?? {}));
  expect(() => read('postgres://db/g', { tls: { cert: 'pem' } })).toThrow(refused('GATEHOUSE_DATABASE_KEY'));
  expect(() => read('postgres://db/g', { tls: { key: 'pem' } })).toThrow(refused('GATEHOUSE_DATABASE_CERT'));
  expect(() => read('mysql://10.0.0.7/g')).toThrow(refused('GATEHOUSE_DATABASE_URL'));
  expect(() => read('mysql://db/g', { pooler: 'transaction' })).toThrow(refused('GATEHOUSE_DATABASE_POOLER'));
});
