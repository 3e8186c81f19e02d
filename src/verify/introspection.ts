import type { Clock } from '#kernel';
import { confirmationOf, type Expected, type KnownToken, tokenOf } from './access-token.ts';
import type { VerifierOptions } from './contract.ts';
import type { IssuerSide } from './issuer-side.ts';

/** How long an answer about an opaque token is believed, milliseconds: within the second that a token may outlive its grant. */
const believed = 500;

/** Asks the issuer about a token that says nothing by itself (RFC 7662). @throws {Fault} when it does not answer */
export function createIntrospection(issuer: IssuerSide, client: NonNullable<VerifierOptions['introspection']>, clock: Clock) {
  const encoded = [client.clientId, client.clientSecret].map((part) => encodeURIComponent(part)).join(':');
  const authorization = `Basic ${Buffer.from(encoded).toString('base64')}`;

  return async function introspect(text: string, expected: Expected): Promise<KnownToken | undefined> {
    const { introspection } = await issuer.metadata();
    const claims = await issuer.json(introspection, { form: new URLSearchParams({ token: text }).toString(), authorization });
    const confirmation = confirmationOf(claims.cnf);
    if (confirmation === undefined || !good(claims, expected)) return undefined;
    return {
      token: tokenOf(claims as Parameters<typeof tokenOf>[0]),
      parents: [],
      organizationEpoch: undefined,
      kid: undefined,
      confirmation,
      until: Math.min((claims.exp as number) * 1000, clock.now() + believed),
    };
  };
}

/** It is active, an access token, and for this resource. */
function good(claims: Readonly<Record<string, unknown>>, { issuer, resource, now }: Expected): boolean {
  const { active, iss, sub, client_id, aud, exp, scope, auth_time, acr } = claims;
  const texts = typeof sub === 'string' && typeof client_id === 'string';
  const maybe = [scope, acr].every((value) => value === undefined || typeof value === 'string');
  const times = typeof exp === 'number' && exp * 1000 > now && (auth_time === undefined || Number.isFinite(auth_time));
  return active === true && iss === issuer && texts && maybe && times && [aud].flat().includes(resource);
}
