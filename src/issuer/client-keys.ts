import { isFault } from '#kernel';
import { ephemeraKey, sha256 } from '#store';
import { keySetFlaw } from './client-metadata.ts';
import { rowOf } from './client-rows.ts';
import { livingClient } from './clients.sql.ts';
import type { Client } from './contract.ts';
import type { IssuerGround } from './deps.ts';
import { fetchJson } from './fetched.ts';

type Keys = Client['jwks'];

const bounds = Object.freeze({ bytes: 64 * 1024, least: 60_000, usual: 5 * 60_000, most: 60 * 60_000 });

/** The public keys of a client: as registered, or as its `jwks_uri` has them; kept as long as that says, for an hour at most. */
export async function clientKeys(deps: IssuerGround, client: Client): Promise<Keys> {
  if (client.jwksUri === undefined) return client.jwks;
  const kept = await deps.ephemera.get(placeOf(client, client.jwksUri));
  return kept === undefined ? fetched(deps, client, client.jwksUri) : (JSON.parse(kept) as Keys);
}

/** The same anew, for a signature that none of the kept keys made: it may have rotated. Once a minute; else undefined. */
export async function renewedClientKeys(deps: IssuerGround, client: Client): Promise<Keys | undefined> {
  if (client.jwksUri === undefined) return undefined;
  const mark = ephemeraKey('client_keys_renewed', client.organization, sha256(client.jwksUri));
  return (await deps.ephemera.claim(mark, '1', bounds.least)) ? fetched(deps, client, client.jwksUri) : undefined;
}

function placeOf({ organization }: Client, uri: string): string {
  return ephemeraKey('client_keys', organization, sha256(uri));
}

/** None where they cannot be had: then nothing is proved by them. An error is never kept. */
async function fetched(deps: IssuerGround, client: Client, uri: string): Promise<Keys> {
  const { organization, id } = client;
  const row = await deps.records.in(organization).read((tx) => livingClient(tx, organization, rowOf(organization, id)));
  const limits = { limit: bounds.bytes, stranger: row === undefined };
  try {
    const { value, freshFor = bounds.usual } = await fetchJson(deps, organization, uri, limits);
    const keys = keysOf(value);
    const life = Math.min(Math.max(freshFor, bounds.least), bounds.most);
    const text = JSON.stringify(keys);
    // Written anew it may be longer than it came, and too long to be kept.
    if (keys.length > 0 && Buffer.byteLength(text) < bounds.bytes) await deps.ephemera.put(placeOf(client, uri), text, life);
    return keys;
  } catch (error) {
    if (!isFault(error)) throw error;
    deps.log.info('the keys of a client cannot be fetched', { client: client.id, code: error.code });
    return [];
  }
}

/** Those that can be used: others are not ours to judge. */
function keysOf(value: unknown): Keys {
  const { keys } = (typeof value === 'object' && value !== null ? value : {}) as { readonly keys?: unknown };
  const objects = Array.isArray(keys) ? keys.filter((key): key is Keys[number] => typeof key === 'object' && key !== null) : [];
  return objects.filter((key) => keySetFlaw([key]) === undefined).slice(0, 50);
}
