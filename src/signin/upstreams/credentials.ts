import { createPrivateKey } from 'node:crypto';
import { importPKCS8, SignJWT } from 'jose';
import * as oauth from 'oauth4webapi';
import { z } from 'zod';
import { Fault, type OrganizationId, Secret, type UpstreamId } from '#kernel';
import { sha256 } from '#store';
import type { Label, Vault } from '#vault';
import type { PlatformClients, Upstream, UpstreamCredential } from './contract.ts';

/** Associated data of `upstreams.client_envelope`. */
export function credentialLabel(row: { readonly organization_id: OrganizationId; readonly id: UpstreamId }): Label {
  return { owner: { kind: 'organization', organization: row.organization_id }, key: `upstreams/client_envelope/${row.id}`, version: 1 };
}

/** Associated data of what waits sealed in Ephemera, by the bearer value it is found by. */
export function waitingLabel(kind: 'held_upstream' | 'upstream_sign_in', organization: OrganizationId, bearer: string): Label {
  return { owner: { kind: 'organization', organization }, key: `${kind}/${sha256(bearer)}`, version: 1 };
}

const sealedSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('none') }),
  z.object({ kind: z.literal('secret'), secret: z.string() }),
  z.object({ kind: z.literal('apple_key'), team: z.string(), key: z.string(), pem: z.string() }),
]);

export function credentialText(credential: UpstreamCredential): Secret<string> {
  const plain =
    credential.kind === 'secret'
      ? { ...credential, secret: credential.secret.reveal() }
      : credential.kind === 'apple_key'
        ? { ...credential, pem: credential.pem.reveal() }
        : credential;
  return new Secret(JSON.stringify(plain));
}

export function credentialOf(text: Secret<string>): UpstreamCredential {
  const read = sealedSchema.parse(JSON.parse(text.reveal()));
  if (read.kind === 'secret') return { kind: 'secret', secret: new Secret(read.secret) };
  return read.kind === 'apple_key' ? { ...read, pem: new Secret(read.pem) } : read;
}

/** Our client at an upstream, ready to be used. */
export interface UpstreamClient {
  readonly client: oauth.Client;
  readonly authentication: oauth.ClientAuth;
}

interface ClientDeps {
  readonly vault: Vault;
  readonly platformClients: PlatformClients;
}

/** @throws {Fault} `upstream_unusable` where the platform has no client for this kind any more */
export async function clientOf(
  deps: ClientDeps,
  upstream: Upstream,
  envelope: Uint8Array | null,
  server: oauth.AuthorizationServer,
): Promise<UpstreamClient> {
  if (upstream.source === 'platform') {
    const platform = deps.platformClients[upstream.kind];
    if (platform === undefined) throw new Fault('upstream_unusable', { detail: 'The platform has no client for this provider any more' });
    return { client: { client_id: platform.id }, authentication: bySecret(server, platform.secret) };
  }
  const label = credentialLabel({ organization_id: upstream.organization, id: upstream.id });
  const credential = envelope === null ? ({ kind: 'none' } as const) : credentialOf(await deps.vault.disclose(label, envelope));
  return { client: { client_id: upstream.clientId }, authentication: await authenticationOf(server, upstream.clientId, credential) };
}

/** How our client proves itself at the token endpoint. */
export async function authenticationOf(
  server: oauth.AuthorizationServer,
  clientId: string,
  credential: UpstreamCredential,
): Promise<oauth.ClientAuth> {
  switch (credential.kind) {
    case 'none':
      return oauth.None();
    case 'secret':
      return bySecret(server, credential.secret);
    case 'apple_key':
      return oauth.ClientSecretPost(await appleSecret(clientId, credential));
  }
}

/** In the body where the server says that it takes that: not all decode what the header must be encoded to (RFC 6749 §2.3.1). */
function bySecret(server: oauth.AuthorizationServer, secret: Secret<string>): oauth.ClientAuth {
  const body = server.token_endpoint_auth_methods_supported?.includes('client_secret_post') === true;
  return body ? oauth.ClientSecretPost(secret.reveal()) : oauth.ClientSecretBasic(secret.reveal());
}

/** Apple's client secret is an assertion of ours, good for minutes (developer.apple.com, "Creating a client secret"). */
async function appleSecret(clientId: string, { team, key, pem }: UpstreamCredential & { readonly kind: 'apple_key' }): Promise<string> {
  return new SignJWT({})
    .setProtectedHeader({ alg: 'ES256', kid: key })
    .setIssuer(team)
    .setSubject(clientId)
    .setAudience('https://appleid.apple.com')
    .setIssuedAt()
    .setExpirationTime('5 minutes')
    .sign(await importPKCS8(pem.reveal(), 'ES256'));
}

/** Whether this is a private key on P-256, as Apple gives them. */
export function isAppleKey(pem: Secret<string>): boolean {
  try {
    return createPrivateKey(pem.reveal()).asymmetricKeyDetails?.namedCurve === 'prime256v1';
  } catch {
    return false;
  }
}
