import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Kind, newDatabase } from './databases.ts';

/** Two roles and what they may do, made by the very statements of docs/databases.md, under names of their own. */
export async function statementsFor(kind: Kind): Promise<{ readonly owner: string; readonly user: string; readonly schema: string }> {
  const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'databases.md'), 'utf8');
  const [onPostgres = '', onMysql = ''] = [...page.matchAll(/```sql\n([\s\S]*?)```/g)].map(([, text]) => text);
  const own = `g_${randomBytes(6).toString('hex')}`;
  const text = (kind.name === 'postgresql' ? onPostgres : onMysql).replaceAll('gatehouse', own);
  const { url } = await newDatabase(kind);
  const statements = text.split(';').filter((statement) => statement.trim() !== '');
  await (kind.name === 'postgresql' ? runOnPostgres(url, statements) : runOnMysql(url, statements));
  const as = (user: string, password: string) => {
    const address = new URL(url);
    address.username = user;
    address.password = password;
    if (kind.name !== 'postgresql') address.pathname = `/${own}`;
    return address.href;
  };
  return { owner: as(`${own}_owner`, 'one secret'), user: as(own, 'another'), schema: own };
}

async function runOnPostgres(url: string, statements: readonly string[]): Promise<void> {
  const { default: pg } = await import('pg');
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
}

async function runOnMysql(url: string, statements: readonly string[]): Promise<void> {
  const { createConnection } = await import('mysql2/promise');
  const connection = await createConnection(url.replace(/^mariadb:/, 'mysql:'));
  for (const statement of statements) await connection.query(statement);
  await connection.end();
}
