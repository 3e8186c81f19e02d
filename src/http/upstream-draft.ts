import type { z } from 'zod';
import type { schemas } from '#api';
import { Fault, Secret } from '#kernel';
import type { Upstream, UpstreamCredential, UpstreamDraft } from '#signin';

export type NewUpstream = z.output<typeof schemas.newUpstream>;

/** An upstream as the contract spells it, as the room does. @throws {Fault} `invalid_request` */
export function upstreamDraft(given: NewUpstream): UpstreamDraft {
  const { name, kind, label, issuer, scopes, domains } = given;
  return { name, kind, label, issuer, clientId: given.client_id, credential: credentialOf(given), scopes, domains, signUp: given.sign_up };
}

function credentialOf({ client_secret: secret, apple_key: key }: NewUpstream): UpstreamCredential {
  if (secret !== undefined && key !== undefined)
    throw new Fault('invalid_request', { fields: { '/client_secret': 'give a secret or a key, not both' } });
  if (secret !== undefined) return { kind: 'secret', secret: new Secret(secret) };
  if (key === undefined) return { kind: 'none' };
  return { kind: 'apple_key', team: key.team_id, key: key.key_id, pem: new Secret(key.private_key) };
}

/** What of it a person is asked about: everything but the secret. */
export function upstreamFacts({ name, kind, label, issuer, clientId, domains, signUp }: UpstreamDraft) {
  return {
    ...{ name, kind, domains: [...domains], sign_up: signUp },
    ...(label === undefined ? {} : { label }),
    ...(issuer === undefined ? {} : { issuer }),
    ...(clientId === undefined ? {} : { client_id: clientId }),
  };
}

type AskedUpstream = ReturnType<typeof upstreamFacts>;

/** The same in words. */
export function toldUpstream(given: { readonly [K in keyof AskedUpstream]: AskedUpstream[K] | undefined }) {
  const { name = '', kind = '', issuer, domains = [], sign_up: signUp } = given;
  const trusted = domains.map((domain) => (domain === '*' ? 'everybody who is new' : domain)).join(', ');
  return [
    ['Name', name],
    ['Kind', kind],
    ...(issuer === undefined ? [] : ([['Issuer', issuer]] as const)),
    ['Client', given.client_id ?? 'the one that the operator set'],
    ['Believed about', trusted === '' ? 'no address: people link their accounts themselves' : trusted],
    ['Makes users', signUp === true ? 'yes, for addresses it is believed about' : 'no: only people who are here can come'],
  ] as const;
}

/** An upstream as the contract shows it. Its secret is shown to nobody. */
export function upstreamView(upstream: Upstream, redirectUri: string): z.input<typeof schemas.upstreamView> {
  const { id, name, kind, label, issuer, scopes, domains, signUp, createdAt, source, clientId } = upstream;
  return {
    ...{ id, name, kind, label, issuer, scopes: [...scopes], domains: [...domains], sign_up: signUp, created_at: createdAt },
    ...(source === 'own' ? { client_id: clientId } : {}),
    redirect_uri: redirectUri,
  };
}
