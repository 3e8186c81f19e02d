import { expect, test } from 'vitest';
import { isFault } from '#kernel';
import { loadDriver } from './backends/load-driver.ts';
import { parseDatabaseUrl } from './database-url.ts';

test('a URL says which database, where it is and as whom to come; the driver of another language is ignored', () => {
  expect(parseDatabaseUrl('postgresql+asyncpg://us%40er:p%2Fw@db.internal:6432/gate%20house')).toEqual({
    kind: 'postgres',
    host: 'db.internal',
    port: 6432,
    socket: undefined,
    user: 'us@er',
    password: 'p/w',
    database: 'gate house',
    tls: undefined,
  });
  expect(parseDatabaseUrl('mariadb://[::1]/g')).toMatchObject({ kind: 'mysql', host: '::1', port: undefined, user: undefined });
  expect(parseDatabaseUrl('mysql://u@localhost/g?socket=/run/mysqld/mysqld.sock')).toMatchObject({ socket: '/run/mysqld/mysqld.sock' });
  expect(parseDatabaseUrl('postgres:///g?host=/run/postgresql')).toMatchObject({ socket: '/run/postgresql', database: 'g' });
  expect(parseDatabaseUrl('postgres://db/g?sslmode=verify-ca')).toMatchObject({ tls: 'verify-ca' });
  expect(parseDatabaseUrl('mysql://db/g?ssl-mode=VERIFY_IDENTITY')).toMatchObject({ tls: 'verify-full' });
  expect(parseDatabaseUrl('sqlite:/var/lib/gatehouse')).toBeUndefined();
});

test('what is not understood is refused, not ignored, and nothing of the URL is repeated', () => {
  const bad = [
    'oracle://canary@host/db',
    'postgres://canary@host',
    'postgres://canary@host/a/b',
    'postgres://canary:#@host/db',
    'postgres://canary@host/db?sslmode=prefer',
    'postgres://canary@host/db?sslmode=canary',
    'postgres://canary@host/db?sslrootcert=/canary.pem',
    'mysql://canary@host/db?ssl-mode=PREFERRED',
    'postgres://u@host/db?host=canary',
    'mysql://canary@host/db?ssl=%7B%7D',
    'canary',
  ];
  for (const url of bad) {
    const refused = (error: unknown) =>
      isFault(error, 'invalid_setting') && !JSON.stringify([error.message, error.details]).includes('canary');
    expect(() => parseDatabaseUrl(url), url).toThrow(expect.toSatisfy(refused));
  }
});

test('a driver that is not installed is named, with the line that installs it', async () => {
  const name = 'gatehouse-driver-that-nobody-has';
  await expect(loadDriver('pg', () => import(/* @vite-ignore */ name))).rejects.toSatisfy(
    (error) => isFault(error, 'invalid_setting') && error.hint.includes('npm i pg'),
  );
});
