import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sql } from 'kysely';
import { describe, expect, inject } from 'vitest';
import { type FaultCode, isFault, silentLog, systemClock } from '#kernel';
import { openStore } from '#store';
import { testAuthority } from '../support/certificates.ts';
import { type Database, encryptedKinds, kinds, newDatabase, newEncryptedDatabase } from '../support/databases.ts';
import { testWith } from '../support/need.ts';
import { temporaryFolder } from '../support/store.ts';

const stranger = testAuthority('localhost').pem;

/** The same database by another URL. */
function by({ url, ...database }: Database, change: { readonly host?: string; readonly user?: string; readonly mode?: string }): Database {
  const own = new URL(url.replace(/^[a-z]+:/, 'gatehouse:'));
  if (change.host !== undefined) own.hostname = change.host;
  if (change.user !== undefined) own.username = change.user;
  if (change.mode !== undefined) own.searchParams.set('sslmode', change.mode);
  return { ...database, url: own.href.replace(/^gatehouse:/, url.slice(0, url.indexOf(':') + 1)) };
}

/** The cipher of one connection of the store. */
async function cipherOf(database: Database): Promise<string> {
  const store = await openStore({ home: temporaryFolder(), ephemera: 'sql', database, clock: systemClock, log: silentLog });
  try {
    const query = database.url.startsWith('postgres')
      ? sql<{ cipher: string }>`select cipher from pg_catalog.pg_stat_ssl where pid = pg_backend_pid()`
      : sql<{ cipher: string }>`select variable_value as cipher from information_schema.session_status where variable_name = 'Ssl_cipher'`;
    const { rows } = await store.records.platform('test').read(({ db }) => query.execute(db));
    return rows[0]?.cipher ?? '';
  } finally {
    await store.close();
  }
}

async function refusal(database: Database): Promise<{ readonly code: FaultCode; readonly detail: string | undefined }> {
  try {
    await cipherOf(database);
  } catch (error) {
    if (isFault(error)) return { code: error.code, detail: error.details.detail };
    throw error;
  }
  throw new Error('it was not refused');
}

describe.each(encryptedKinds)('TLS to $name', (kind) => {
  const test = testWith(...kind.needs);

  test('what the authority signed for this host is spoken to, encrypted', async () => {
    expect(await cipherOf(await newEncryptedDatabase(kind))).toMatch(/AES|CHACHA/);
  });

  test('a server that another authority signed for is refused, and so is one that only the system could know', async () => {
    const database = await newEncryptedDatabase(kind);
    const untrusted = { code: 'database_untrusted', detail: expect.stringContaining('nobody whom we believe signed') };
    expect(await refusal({ ...database, tls: { ca: stranger } })).toEqual(untrusted);
    expect(await refusal(by({ ...database, tls: {} }, { mode: 'verify-full' }))).toEqual(untrusted);
    expect(await refusal(by({ ...database, tls: { ca: stranger } }, { mode: 'verify-ca' }))).toEqual(untrusted);
    expect(await refusal(by({ ...database, tls: { ca: stranger } }, { mode: 'require' }))).toEqual(untrusted);
  });

  test('a certificate for another host is refused, unless the URL asks for the authority alone', async () => {
    // Another spelling of the loopback address, which no certificate bears.
    const elsewhere = by(await newEncryptedDatabase(kind), { host: '127.1' });
    expect(await refusal(elsewhere)).toEqual({ code: 'database_untrusted', detail: expect.stringContaining('for another host') });
    expect(await cipherOf(by(elsewhere, { mode: 'verify-ca' }))).toMatch(/AES|CHACHA/);
  });

  test('sslmode=require encrypts whoever answers, and a server without TLS is refused', async () => {
    expect(await cipherOf(by({ ...(await newEncryptedDatabase(kind)), tls: {} }, { mode: 'require' }))).toMatch(/AES|CHACHA/);
    const plain = kinds.find(({ name }) => name === kind.name);
    if (plain === undefined) throw new Error('a kind is missing');
    const refused = await refusal(by({ ...(await newDatabase(plain)) }, { mode: 'require' }));
    expect(refused).toEqual({ code: 'database_untrusted', detail: 'the database server offers no TLS' });
  });

  test('a server that takes TLS alone refuses a way in the clear with a word about TLS', async () => {
    const refused = await refusal(by({ ...(await newEncryptedDatabase(kind)), tls: {} }, { mode: 'disable' }));
    expect(refused).toEqual({ code: 'invalid_setting', detail: expect.stringContaining('without TLS') });
  });

  test('a user that needs a client certificate comes in with it, and not without', async () => {
    const database = by(await newEncryptedDatabase(kind), { user: 'certified' });
    const file = (name: string) => readFileSync(join(inject('databases'), `${kind.name}-tls`, name), 'utf8');
    const certified = { ...database, tls: { ...database.tls, cert: file('client.pem'), key: file('client.key') } };
    expect(await cipherOf(certified)).toMatch(/AES|CHACHA/);
    expect(await refusal(database)).toEqual({ code: 'invalid_setting', detail: expect.stringContaining('certificate') });
  });
});
