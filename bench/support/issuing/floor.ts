// A process of its own: node:http and what each request cannot do without. `/token`: the form is read and one ES256 signature made;
// `/token-opaque`: the form is read and 32 random bytes are given; `/introspect`: the form is read and one indexed row; anything else: a constant.
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Target } from './target.ts';

const port = Number(process.argv[2]);
const folder = mkdtempSync(join(tmpdir(), 'gatehouse-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const db = new DatabaseSync(join(folder, 'floor.db'));
db.exec('pragma journal_mode = wal; create table tokens (row integer primary key, token text not null unique, body text not null)');
const claims = {
  ...{
    iss: 'http://127.0.0.1',
    sub: 'clt_00000000000000000000000000',
    aud: 'https://jwt.example/',
    client_id: 'clt_00000000000000000000000000',
  },
  ...{ iat: 1_764_000_000, exp: 1_764_000_900, jti: '00000000-0000-4000-8000-000000000000', scope: 'things:read' },
};
const insert = db.prepare('insert into tokens (token, body) values (?, ?)');
db.exec('begin');
for (let i = 0; i < 10_000; i++)
  insert.run(i === 0 ? 'a'.repeat(43) : randomBytes(32).toString('base64url'), JSON.stringify({ active: true, ...claims }));
db.exec('commit');
const find = db.prepare('select body from tokens where token = ?');
const head = Buffer.from(JSON.stringify({ alg: 'ES256', kid: 'one', typ: 'at+jwt' })).toString('base64url');
const constant = JSON.stringify({ issuer: 'http://127.0.0.1', padding: 'x'.repeat(1_500) });

const answers: Readonly<Record<string, (form: URLSearchParams) => string>> = {
  '/token': () => granted(signed()),
  '/token-opaque': () => granted(randomBytes(32).toString('base64url')),
  '/introspect': (form) => String(find.get(form.get('token'))?.body),
};

function signed(): string {
  const text = `${head}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
  return `${text}.${sign('sha256', Buffer.from(text, 'latin1'), privateKey).toString('base64url')}`;
}

function granted(token: string): string {
  return JSON.stringify({ access_token: token, token_type: 'Bearer', expires_in: 900, scope: 'things:read' });
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('utf8');
}

createServer((request, response) => {
  void bodyOf(request).then((body) => {
    const answer = answers[request.url ?? '']?.(new URLSearchParams(body)) ?? constant;
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(answer) }).end(answer);
  });
}).listen(port, '127.0.0.1', () => {
  const nobody = { id: 'nobody', secret: 'nothing' };
  const target: Target = {
    port,
    client: nobody,
    server: nobody,
    paths: { token: '/token', introspect: '/introspect', keySet: '/jwks.json' },
  };
  process.stdout.write(`${JSON.stringify(target)}\n`);
});
