import { isFault } from '#kernel';
import { ephemeraKey, sha256 } from '#store';
import { keySetFlaw } from './client-metadata.ts';
import type { ClientMetadata, TrustedIssuer } from './contract.ts';
import type { IssuerGround } from './deps.ts';
import { fetchJson } from './fetched.ts';

type Keys = ClientMetadata['jwks'];

const bounds = Object.freeze({ bytes: 256 * 1024, keys: 100, least: 60_000, usual: 10 * 60_000, most: 24 * 60 * 60_000 });

/** The keys of an issuer: as given, or as it publishes them; kept as long as that says, for a day at most. */
export async function trustedKeys(deps: IssuerGround, trust: TrustedIssuer): Promise<Keys> {
  if (trust.keys.kind === 'jwks') return trust.keys.keys;
  const kept = await deps.ephemera.get(placeOf(trust));
  return kept === undefined ? fetched(deps, trust) : (JSON.parse(kept) as Keys);
}

/** The same anew, for a signature that none of the kept keys made: it may have rotated. Once a minute; else undefined. */
export async function renewedTrustedKeys(deps: IssuerGround, trust: TrustedIssuer): Promise<Keys | undefined> {
  if (trust.keys.kind === 'jwks') return undefined;
  const mark = ephemeraKey('trusted_keys_renewed', trust.organization, sha256(sourceOf(trust)));
  return (await deps.ephemera.claim(mark, '1', bounds.least)) ? fetched(deps, trust) : undefined;
}

function placeOf(trust: TrustedIssuer): string {
  return ephemeraKey('trusted_keys', trust.organization, sha256(sourceOf(trust)));
}

function sourceOf({ issuer, keys }: TrustedIssuer): string {
  return keys.kind === 'jwks_uri' ? keys.uri : `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
}

/** None where they cannot be had: then nothing is proved by them. An error is never kept. */
async function fetched(deps: IssuerGround, trust: TrustedIssuer): Promise<Keys> {
  try {
    const uri = trust.keys.kind === 'jwks_uri' ? trust.keys.uri : await discovered(deps, trust);
    if (uri === undefined) return [];
    const { value, freshFor = bounds.usual } = await fetchJson(deps, trust.organization, uri, { limit: bounds.bytes, allowHttp: true });
    const keys = keysOf(value);
    const life = Math.min(Math.max(freshFor, bounds.least), bounds.most);
    const text = JSON.stringify(keys);
    if (keys.length > 0 && Buffer.byteLength(text) < 60_000) await deps.ephemera.put(placeOf(trust), text, life);
    return keys;
  } catch (error) {
    if (!isFault(error)) throw error;
    deps.log.info('the keys of a trusted issuer cannot be fetched', { trust: trust.id, code: error.code });
    return [];
  }
}

/** OpenID Connect Discovery §4: the document names the very issuer that it was asked of. */
async function discovered(deps: IssuerGround, trust: TrustedIssuer): Promise<string | undefined> {
  const { value } = await fetchJson(deps, trust.organization, sourceOf(trust), { limit: bounds.bytes, allowHttp: true });
  const { issuer, jwks_uri: uri } = (value ?? {}) as Readonly<Record<string, unknown>>;
  if (issuer === trust.issuer && typeof uri === 'string' && URL.canParse(uri)) return uri;
  deps.log.info('the discovery document of a trusted issuer is not its own', { trust: trust.id });
  return undefined;
}

/** Those that can be used: others are not ours to judge. */
function keysOf(value: unknown): Keys {
  const { keys } = (value ?? {}) as { readonly keys?: unknown };
  const objects = Array.isArray(keys) ? keys.filter((key): key is Keys[number] => typeof key === 'object' && key !== null) : [];
  return objects.filter((key) => keySetFlaw([key]) === undefined).slice(0, bounds.keys);
}
