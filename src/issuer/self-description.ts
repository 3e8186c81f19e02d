import { type ClientAuthenticationName, clientAuthenticationNames, type GrantTypeName } from '#api';
import { Fault, type FaultCode } from '#kernel';
import { tokenAlgorithmNames } from '#oauth';
import { clientNameShape, keySetFlaw } from './client-metadata.ts';
import type { ClientLogout, ClientMetadata } from './contract.ts';
import { logoutAs, logoutRules } from './logout-members.ts';
import { isLocal, redirectFlaw, redirectHost } from './redirects.ts';
import { readScopes } from './scopes.ts';

/** What a client says of itself, judged. */
export interface SelfDescription extends ClientMetadata {
  readonly name: string;
  readonly authentication: ClientAuthenticationName;
}

/** How a description is read. */
export interface Manner {
  readonly authentications: readonly ClientAuthenticationName[];
  /** Where it names no way to authenticate. */
  assumed(given: Members): ClientAuthenticationName;
  /** What cannot be used is left out instead of refused: it was written for every server, and nobody is there to be told. */
  readonly tolerant: boolean;
}

type Members = Readonly<Record<string, unknown>>;

/** Of who registers itself (RFC 7591 §2). */
export const registering: Manner = {
  authentications: ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'],
  assumed: () => 'client_secret_basic',
  tolerant: false,
};

/** Grant types that a client gives itself; any other has to be given by an administrator (SECURITY 26). */
const ownGrantTypes: readonly GrantTypeName[] = ['authorization_code', 'refresh_token'];

/** @throws {Fault} `client_invalid`, `redirect_invalid`, with a sentence */
export function readDescription(document: unknown, manner: Manner): SelfDescription {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) throw refused('The metadata are not a JSON object');
  const given = document as Members;
  const type = readApplicationType(given);
  const redirectUris = readRedirects(given, manner, type);
  const authentication = readAuthentication(given, manner);
  if (!readTexts(given, 'response_types', ['code']).includes('code')) throw refused('The only one of response_types is code');
  return {
    name: readName(given, manner, redirectUris),
    authentication,
    redirectUris,
    grantTypes: readGrantTypes(given),
    scopes: readScope(given, manner),
    resources: [],
    protects: [],
    ...readKeys(given, authentication),
    signing: readSigning(given),
    requirePushedAuthorizationRequests: given.require_pushed_authorization_requests === true,
    requireSignedRequestObject: given.require_signed_request_object === true,
    // Given by an administrator alone: whoever registers itself asks for scopes.
    authorizationDetailsTypes: [],
    lives: {},
    dpopBound: given.dpop_bound_access_tokens === true,
    certificateBound: given.tls_client_certificate_bound_access_tokens === true,
    logout: readLogout(given, manner, redirectUris),
    about: { ...readAbout(given, manner), application_type: type ?? (redirectUris.some(isLocal) ? 'native' : 'web') },
  };
}

function refused(detail: string, code: FaultCode = 'client_invalid'): Fault {
  return new Fault(code, { detail });
}

function readText(given: Members, name: string): string | undefined {
  const value = given[name] ?? undefined;
  if (value === undefined || typeof value === 'string') return value;
  throw refused(`The member ${name} is not a string`);
}

function readTexts(given: Members, name: string, assumed: readonly string[]): readonly string[] {
  const value = given[name] ?? assumed;
  if (Array.isArray(value) && value.length <= 100 && value.every((one) => typeof one === 'string')) return value;
  throw refused(`The member ${name} is not a list of strings`);
}

const applicationTypes = ['web', 'native'];

/** OpenID Connect Registration §2. Where it is absent, what the client is shows by its redirect URIs. */
function readApplicationType(given: Members): string | undefined {
  const type = readText(given, 'application_type');
  if (type !== undefined && !applicationTypes.includes(type)) throw refused('The member application_type is web or native');
  return type;
}

/** @throws {Fault} `redirect_invalid` */
function readRedirects(given: Members, { tolerant }: Manner, type: string | undefined): readonly string[] {
  const uris = [...new Set(readTexts(given, 'redirect_uris', []))];
  const flaws = uris.map((uri) => redirectFlaw(uri) ?? (type === 'web' && isLocal(uri) ? 'is not for application_type web' : undefined));
  const flaw = flaws.find((one) => one !== undefined);
  if (flaw !== undefined && !tolerant) throw refused(`One of redirect_uris ${flaw}`, 'redirect_invalid');
  const usable = uris.filter((_, index) => flaws[index] === undefined);
  if (usable.length === 0) throw refused(`There is no redirect URI that can be used`, 'redirect_invalid');
  if (usable.length > 50) throw refused('There are more than 50 of redirect_uris', 'redirect_invalid');
  return usable;
}

function readAuthentication(given: Members, manner: Manner): ClientAuthenticationName {
  const named = readText(given, 'token_endpoint_auth_method');
  const found = named === undefined ? manner.assumed(given) : clientAuthenticationNames.find((one) => one === named);
  if (found !== undefined && manner.authentications.includes(found)) return found;
  throw refused(`The member token_endpoint_auth_method is one of: ${manner.authentications.join(', ')}`);
}

/** What it may not have is not stored, and the answer says so (RFC 7591 §2). */
function readGrantTypes(given: Members): readonly GrantTypeName[] {
  const named = readTexts(given, 'grant_types', ['authorization_code']);
  const kept = ownGrantTypes.filter((type) => named.includes(type));
  if (kept.includes('authorization_code')) return kept;
  throw refused('A client that registers itself has authorization_code among its grant_types');
}

function readScope(given: Members, { tolerant }: Manner): readonly string[] {
  const scopes = readScopes(readText(given, 'scope'));
  if (scopes === undefined && !tolerant) throw refused('The member scope is not well formed');
  return scopes ?? [];
}

function readKeys(given: Members, authentication: ClientAuthenticationName): Pick<ClientMetadata, 'jwks' | 'jwksUri'> {
  const set = (given.jwks ?? undefined) as { readonly keys?: unknown } | undefined;
  const uri = readText(given, 'jwks_uri');
  if (set !== undefined && uri !== undefined) throw refused('Keys are given by jwks or by jwks_uri, not by both');
  if (uri !== undefined && !isWebPage(uri, ['https:'])) throw refused('The member jwks_uri is not an https URL');
  const jwks = set === undefined ? [] : keysOf(set.keys);
  const needed = authentication === 'private_key_jwt' || given.require_signed_request_object === true;
  if (needed && uri === undefined && jwks.length === 0) throw refused('private_key_jwt and signed requests need jwks or jwks_uri');
  return { jwks, ...(uri === undefined ? {} : { jwksUri: uri }) };
}

function keysOf(keys: unknown): ClientMetadata['jwks'] {
  if (!Array.isArray(keys) || !keys.every((key) => typeof key === 'object' && key !== null))
    throw refused('The member jwks is not a set of keys');
  const flaw = keySetFlaw(keys as ClientMetadata['jwks']);
  if (flaw !== undefined) throw refused(`In jwks, ${flaw}`);
  return keys as ClientMetadata['jwks'];
}

/** How it hears that a person has left, and where its own sign-out may lead. */
function readLogout(given: Members, { tolerant }: Manner, redirectUris: readonly string[]): ClientLogout {
  const uris = readTexts(given, 'post_logout_redirect_uris', []);
  const told: ClientLogout = {
    redirectUris: tolerant ? uris.filter((uri) => redirectFlaw(uri) === undefined) : uris,
    backchannelUri: readText(given, 'backchannel_logout_uri') || undefined,
    backchannelSessionRequired: given.backchannel_logout_session_required === true,
    frontchannelUri: readText(given, 'frontchannel_logout_uri') || undefined,
    frontchannelSessionRequired: given.frontchannel_logout_session_required === true,
  };
  const usable = <T>(member: keyof typeof logoutRules, value: T): T | undefined => {
    const flaw = logoutRules[member]({ redirectUris, logout: told });
    if (flaw !== undefined && !tolerant) throw refused(`The member ${member} is refused: ${flaw}`);
    return flaw === undefined ? value : undefined;
  };
  return {
    ...told,
    redirectUris: usable('post_logout_redirect_uris', told.redirectUris) ?? [],
    backchannelUri: usable('backchannel_logout_uri', told.backchannelUri),
    frontchannelUri: usable('frontchannel_logout_uri', told.frontchannelUri),
  };
}

/** OpenID Connect Registration §2: RS256 where it names none. */
function readSigning(given: Members): ClientMetadata['signing'] {
  const named = readText(given, 'id_token_signed_response_alg') ?? 'RS256';
  const found = tokenAlgorithmNames.find((name) => name === named);
  if (found === undefined) throw refused(`The member id_token_signed_response_alg is one of: ${tokenAlgorithmNames.join(', ')}`);
  return found;
}

function readName(given: Members, { tolerant }: Manner, [first = '']: readonly string[]): string {
  const name = readText(given, 'client_name')?.trim();
  if (name !== undefined && clientNameShape.test(name)) return name;
  if (name !== undefined && name !== '' && !tolerant) throw refused('The member client_name is not 1 to 100 plain characters');
  return redirectHost(first);
}

/** What a client tells of itself: kept and told again, and never fetched. */
const aboutMembers: Readonly<Record<string, (value: unknown) => boolean>> = {
  client_uri: (value) => isWebPage(value),
  logo_uri: (value) => isWebPage(value),
  tos_uri: (value) => isWebPage(value),
  policy_uri: (value) => isWebPage(value),
  contacts: (value) => Array.isArray(value) && value.length <= 10 && value.every((one) => isPlain(one, 200)),
  software_id: (value) => isPlain(value, 200),
  software_version: (value) => isPlain(value, 100),
};

function readAbout(given: Members, { tolerant }: Manner): Members {
  const told = Object.keys(aboutMembers).filter((name) => given[name] !== undefined && given[name] !== null && given[name] !== '');
  const unusable = told.find((name) => aboutMembers[name]?.(given[name]) === false);
  if (unusable !== undefined && !tolerant) throw refused(`The member ${unusable} is not well formed`);
  return Object.fromEntries(told.filter((name) => aboutMembers[name]?.(given[name]) === true).map((name) => [name, given[name]]));
}

function isPlain(value: unknown, longest: number): boolean {
  return typeof value === 'string' && value.length <= longest && !/\p{Cc}/u.test(value);
}

function isWebPage(value: unknown, schemes: readonly string[] = ['https:', 'http:']): boolean {
  return typeof value === 'string' && value.length <= 2_000 && URL.canParse(value) && schemes.includes(new URL(value).protocol);
}

/** The description in the words of RFC 7591 §2. */
export function describedAs(client: Omit<SelfDescription, 'resources' | 'protects'>): Members {
  return {
    client_name: client.name,
    redirect_uris: client.redirectUris,
    token_endpoint_auth_method: client.authentication,
    grant_types: client.grantTypes,
    response_types: ['code'],
    ...(client.scopes.length === 0 ? {} : { scope: client.scopes.join(' ') }),
    ...(client.jwks.length === 0 ? {} : { jwks: { keys: client.jwks } }),
    ...(client.jwksUri === undefined ? {} : { jwks_uri: client.jwksUri }),
    id_token_signed_response_alg: client.signing,
    ...(client.requirePushedAuthorizationRequests ? { require_pushed_authorization_requests: true } : {}),
    ...(client.requireSignedRequestObject ? { require_signed_request_object: true } : {}),
    ...(client.dpopBound ? { dpop_bound_access_tokens: true } : {}),
    ...(client.certificateBound ? { tls_client_certificate_bound_access_tokens: true } : {}),
    ...logoutAs(client.logout),
    ...client.about,
  };
}
