import type { TokenFormatName } from '#api';
import { Fault, parseId } from '#kernel';
import { openToken, parseJws, sealToken, signToken, type TokenAlgorithmName, tokenHolds } from '#oauth';
import type { AuthorizationDetail, Confirmation, Issuing } from './contract.ts';
import type { IssuerDeps } from './deps.ts';

/** An access token as it was made: everything that can end it is named in it. */
export interface AccessTokenClaims {
  readonly iss: string;
  readonly sub: string;
  readonly aud: string | readonly string[];
  readonly client_id: string;
  readonly iat: number;
  readonly exp: number;
  readonly jti: string;
  readonly scope?: string;
  readonly auth_time?: number;
  /** The key it is bound to: of no use to who has not that. */
  readonly cnf?: Confirmation;
  readonly acr?: string;
  readonly amr?: readonly string[];
  readonly authorization_details?: readonly AuthorizationDetail[];
  /** The grant it hangs on; a client's own token hangs on the client. */
  readonly grant_id?: string;
  /** The access tokens that it was made from, by `jti`, and their clients: it ends with any of them. */
  readonly parents?: readonly string[];
  readonly parent_clients?: readonly string[];
  /** Of the organization, and of the user where there is one, when it was made (SECURITY 16). */
  readonly epochs: readonly number[];
}

/** How a resource takes its access tokens. */
export interface AccessTokenForm {
  readonly format: TokenFormatName;
  readonly algorithm: TokenAlgorithmName;
}

/** One form of access tokens. */
interface AccessTokenFormat {
  /** Whether text has its shape; exactly one format's shape fits. */
  fits(text: string): boolean;
  write(deps: IssuerDeps, at: Issuing, claims: AccessTokenClaims, algorithm: TokenAlgorithmName): Promise<string>;
  /** The claims, if we wrote them; whether they still count is the caller's to judge. */
  read(deps: IssuerDeps, at: Issuing, text: string): Promise<Readonly<Record<string, unknown>> | undefined>;
}

/** RFC 9068 §2.1. */
const typ = 'at+jwt';
const prefix = 'gat_';
const kidPrefix = 'sky_';
const kidLength = 26;
const opaque = new RegExp(`^${prefix}[0-9a-z]{${kidLength}}_[A-Za-z0-9_-]+$`);

/** The only list of formats. Nothing is stored of a token in any of them. */
export const accessTokenFormats: Readonly<Record<TokenFormatName, AccessTokenFormat>> = Object.freeze({
  jwt: {
    fits: (text) => text.includes('.'),
    async write({ keys }, at, claims, algorithm) {
      return signToken(await keys.signer(at.organization.id, algorithm), typ, { ...claims });
    },
    async read({ keys }, at, text) {
      const jws = parseJws(text, typ);
      const key = jws === undefined ? undefined : await keys.verifier(at.organization.id, jws.header.kid);
      return jws !== undefined && key !== undefined && tokenHolds(jws, key.algorithm, key.key) ? jws.payload : undefined;
    },
  },
  /** `gat_`, the key's own part of its id, and the sealed claims: see docs/decisions/2026-11-29-opaque-tokens-are-sealed.md. */
  opaque: {
    fits: (text) => opaque.test(text),
    async write({ keys }, at, claims) {
      const key = await keys.sealer(at.organization.id);
      return `${prefix}${key.kid.slice(kidPrefix.length)}_${sealToken(key, { ...claims })}`;
    },
    async read({ keys }, at, text) {
      const kid = parseId('sky', kidPrefix + text.slice(prefix.length, prefix.length + kidLength));
      const key = kid === undefined ? undefined : await keys.opener(at.organization.id, kid);
      return key === undefined ? undefined : openToken(key, text.slice(prefix.length + kidLength + 1));
    },
  },
});

/** What is made where nobody registered the resource: what every resource server understands. */
const plain: AccessTokenForm = { format: 'jwt', algorithm: 'ES256' };

/** The one form that all of these resources take. @throws {Fault} `target_invalid` where they differ: a token has one form */
export async function formFor(deps: IssuerDeps, at: Issuing, resources: readonly string[]): Promise<AccessTokenForm> {
  if (resources.length === 0) return plain;
  const registered = await deps.resources.registered(at.organization.id);
  const forms = resources.map((resource) => {
    const { tokenFormat: format = plain.format, algorithm = plain.algorithm } = registered.get(resource) ?? {};
    return format === 'opaque' ? { format, algorithm: plain.algorithm } : { format, algorithm };
  });
  const [first = plain, ...more] = forms;
  if (more.some(({ format, algorithm }) => format !== first.format || algorithm !== first.algorithm))
    throw new Fault('target_invalid', { detail: 'These resources take tokens of different forms: ask for one resource at a time' });
  return first;
}

/** The claims of an access token of this issuer, in whatever form; what we wrote is of the form we write, so they need no further look. */
export async function readAccessToken(deps: IssuerDeps, at: Issuing, text: string): Promise<AccessTokenClaims | undefined> {
  const format = Object.values(accessTokenFormats).find(({ fits }) => fits(text));
  const claims = await format?.read(deps, at, text);
  return claims?.iss === at.issuer ? (claims as unknown as AccessTokenClaims) : undefined;
}
