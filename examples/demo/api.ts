// A process of its own: a real HTTPS API that verifies the provider's tokens. Parameters: issuer, keys, audience, port, certificate file, key file.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';

const [issuer, keys, audience, port, certFile, keyFile] = process.argv.slice(2) as [string, string, string, string, string, string];
const jwks = createLocalJWKSet(JSON.parse(keys) as JSONWebKeySet);
const notes = ['water the plants', 'call the plumber'];

async function caller(authorization: string | undefined): Promise<string | undefined> {
  try {
    const { payload } = await jwtVerify(authorization?.replace(/^Bearer /, '') ?? '', jwks, { issuer, audience });
    return String(payload.sub);
  } catch {
    return undefined;
  }
}

createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, async (request, response) => {
  const who = await caller(request.headers.authorization);
  process.stdout.write(`${request.method} ${request.url} ${who === undefined ? 'without a valid token' : `as ${who}`}\n`);
  response.setHeader('content-type', 'application/json');
  if (who === undefined) return response.writeHead(401).end('{"error":"invalid_token"}');
  if (request.method === 'DELETE') notes.length = 0;
  response.end(JSON.stringify({ notes, for: who, you_sent: request.headers.authorization }));
}).listen(Number(port), '127.0.0.1', () => process.stdout.write('ready\n'));
