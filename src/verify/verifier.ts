import { isFault, settingFault, systemClock } from '#kernel';
import { dpopAlgorithms } from '#oauth';
import { type KnownToken, readAccessToken } from './access-token.ts';
import { type ChallengeFacts, type RefusalName, refuse, unavailable } from './challenge.ts';
import type { Needs, Presented, Verdict, VerifiedToken, Verifier, VerifierOptions } from './contract.ts';
import { createEnded } from './ended.ts';
import { createIntrospection } from './introspection.ts';
import { createIssuerSide } from './issuer-side.ts';
import { createKeySet } from './key-set.ts';
import { Recent } from './recent.ts';
import { resourceMetadata, resourceMetadataUrl } from './resource-metadata.ts';
import { type Credentials, createSenders } from './sender.ts';

/** Tokens whose signature need not be looked at again. */
const mostKnown = 10_000;
/** A token that is longer is none of ours. */
const longestToken = 8_192;

/**
 * The resource server's side: verifies access tokens of one issuer for one resource without asking anybody, also whether they
 * have ended (SECURITY 16). @throws {Fault} `invalid_setting`
 */
export function createVerifier(options: VerifierOptions): Verifier {
  const { issuer, resource, clock = systemClock, scopes = [] } = options;
  const metadataUrl = resourceMetadataUrl(resource);
  const side = createIssuerSide(options, clock);
  const keys = createKeySet(side, clock);
  const ended = createEnded(side, keys, clock);
  const known = new Recent<KnownToken>(mostKnown);
  const introspect = options.introspection === undefined ? undefined : createIntrospection(side, options.introspection, clock);
  const requireBinding = options.requireBinding === true;
  const senders = createSenders({ ...options.dpop, origin: originOf(options), requireBinding, clock });
  const facts: ChallengeFacts = { metadataUrl: metadataUrl.href, scopes, dpopAlgorithms, boundOnly: requireBinding };

  /** The token as it is known now, or undefined. @throws {Fault} when it cannot be learnt */
  async function judged(text: string): Promise<KnownToken | undefined> {
    const waiting = ended.fresh();
    if (waiting !== undefined) await waiting;
    const now = clock.now();
    const seen = known.get(text);
    const found = seen !== undefined && seen.until > now ? seen : await read(text, now);
    if (found === undefined) return undefined;
    if (found.kid === undefined) return found;
    return keys.counts(found.kid) && !ended.any(found.parents, found.organizationEpoch) ? found : undefined;
  }

  async function read(text: string, now: number): Promise<KnownToken | undefined> {
    if (text.length > longestToken) return undefined;
    const expected = { issuer, resource, now };
    const found = text.split('.').length === 3 ? await readAccessToken(text, keys, expected) : await introspect?.(text, expected);
    if (found === undefined) known.delete(text);
    else known.set(text, found);
    return found;
  }

  async function flawOf(presented: Presented, credentials: Credentials, needs: Needs): Promise<RefusalName | KnownToken> {
    const found = await judged(credentials.text);
    if (found === undefined) return 'invalid_token';
    const unproven = await senders.flaw(presented, credentials, found.confirmation);
    return unproven ?? shortOf(found.token, needs, clock.now()) ?? found;
  }

  async function verify(presented: Presented, needs: Needs = {}): Promise<Verdict> {
    const asked: Needs = { ...needs, scopes: needs.scopes ?? scopes };
    const credentials = credentialsOf(presented);
    const refusing = (name: RefusalName, scheme?: Credentials['scheme']): Verdict => ({
      good: false,
      refusal: refuse(name, facts, { scheme, needs: asked, nonce: senders.nonce() }),
    });
    if (typeof credentials === 'string') return refusing(credentials);
    try {
      const found = await flawOf(presented, credentials, asked);
      if (typeof found === 'string') return refusing(found, credentials.scheme);
      const nonce = credentials.scheme === 'DPoP' ? senders.nonce() : undefined;
      return { good: true, token: found.token, headers: nonce === undefined ? {} : { 'dpop-nonce': nonce } };
    } catch (error) {
      if (!isFault(error)) throw error;
      return { good: false, refusal: unavailable() };
    }
  }

  return Object.freeze({
    issuer,
    resource,
    verify,
    further(token: VerifiedToken, needs: Needs): Verdict {
      const short = shortOf(token, needs, clock.now());
      return short === undefined ? { good: true, token, headers: {} } : { good: false, refusal: refuse(short, facts, { needs }) };
    },
    async token(text: string) {
      const found = await judged(text);
      const bound = found?.confirmation.jkt !== undefined || found?.confirmation.x5t !== undefined;
      return found === undefined || bound || requireBinding ? undefined : found.token;
    },
    metadata: resourceMetadata({
      resource,
      issuer,
      scopes: options.metadata?.scopes ?? scopes,
      name: options.metadata?.name,
      documentation: options.metadata?.documentation,
      dpopAlgorithms,
    }),
    metadataUrl: metadataUrl.href,
    metadataPath: metadataUrl.pathname,
    async ready() {
      await side.metadata();
      await ended.fresh();
    },
    async close() {
      ended.close();
      await side.close();
    },
  });
}

/** @throws {Fault} `invalid_setting` */
function originOf({ origin, resource }: VerifierOptions): string {
  if (origin !== undefined && !URL.canParse(origin)) throw settingFault({ origin: 'give the URL where this resource begins' });
  return new URL(origin ?? resource).origin;
}

/** In the header, and in no other way (RFC 6750 §2, OAuth 2.1 §5.2.1). */
function credentialsOf({ url, headers }: Presented): Credentials | 'missing' | 'invalid_request' {
  const { authorization } = headers;
  if (/[?&]access_token=/.test(url)) return 'invalid_request';
  if (authorization === undefined || authorization === '') return 'missing';
  if (typeof authorization !== 'string') return 'invalid_request';
  const [, scheme, text] = /^(bearer|dpop) +([A-Za-z0-9._~+/-]+=*)$/i.exec(authorization) ?? [];
  // A proof that comes with a bearer token is a downgrade, by whoever is between (RFC 9449 §7.2).
  if (scheme?.toLowerCase() === 'bearer' && headers.dpop !== undefined) return 'invalid_request';
  if (text === undefined) return /^(bearer|dpop)\b/i.test(authorization) ? 'invalid_request' : 'missing';
  return { scheme: scheme?.toLowerCase() === 'dpop' ? 'DPoP' : 'Bearer', text };
}

/** What is missing of a good token for this request (RFC 6750 §3.1, RFC 9470 §3). */
function shortOf(token: VerifiedToken, { scopes = [], acr = [], maxAgeSeconds }: Needs, now: number): RefusalName | undefined {
  if (!scopes.every((scope) => token.scopes.includes(scope))) return 'insufficient_scope';
  const proven = acr.length === 0 || (token.acr !== undefined && acr.includes(token.acr));
  const recent = maxAgeSeconds === undefined || (token.authenticatedAt ?? 0) + maxAgeSeconds * 1000 >= now;
  return proven && recent ? undefined : 'insufficient_user_authentication';
}
