import type { z } from 'zod';
import type { schemas } from '#api';
import type { RecordedEvent, Verification } from '#audit';
import type { RunView } from '#broker';
import { type Connection, type Field, type Flow, hostFieldOf, type Provider } from '#connect';
import type { Agent, Invitation, Organization } from '#identity';
import type { Client, DetailsType, ImportedKey, RegistrationToken, Resource, SigningKeyFact, StandingGrant, TrustedIssuer } from '#issuer';
import type { SessionView } from '#signin';
import type { JobFacts } from './contract.ts';

type View<K extends keyof typeof schemas> = (typeof schemas)[K] extends infer S extends z.ZodType ? z.input<S> : never;

/** Leaves out what is not there: answers hold no `null` and no `undefined`. */
function optional<K extends string, V>(name: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [name]: value } as { readonly [P in K]: V });
}

export function agentView(agent: Agent, ownerEmail: string | undefined): View<'agentView'> {
  return {
    id: agent.id,
    handle: agent.handle,
    did: agent.did,
    algorithm: agent.algorithm,
    thumbprint: agent.thumbprint,
    status: agent.status,
    ...optional('owner', ownerOf(agent, ownerEmail)),
    ...optional('confirmed_at', agent.confirmedAt),
    created_at: agent.createdAt,
    ...optional('expires_at', agent.expiresAt),
  };
}

function ownerOf(agent: Agent, email: string | undefined): View<'agentView'>['owner'] {
  if (agent.owner === undefined) return undefined;
  return agent.owner.kind === 'organization' ? agent.owner : { kind: 'user', id: agent.owner.id, ...optional('email', email) };
}

export function connectionView(connection: Connection): View<'connectionView'> {
  const { status } = connection;
  return {
    id: connection.id,
    provider: connection.provider,
    name: connection.name,
    is_default: connection.isDefault,
    shared: connection.shared,
    kind: connection.kind,
    status: {
      kind: status.kind,
      ...(status.kind === 'needs_attention' ? { reason: status.reason } : {}),
      ...(status.kind === 'connected' ? {} : { since: status.since }),
    },
    account: { ...connection.account },
    scopes: [...connection.scopes],
    ...(connection.hosts.length === 0 ? {} : { hosts: [...connection.hosts] }),
    ...optional('expires_at', connection.expiresAt),
    created_at: connection.createdAt,
    ...optional('refreshed_at', connection.refreshedAt),
  };
}

/** What a person fills in to connect: the fields of a key, and the account's own host where each customer has one. */
export function fieldsOf(provider: Provider, flow: Flow['kind']): readonly Field[] {
  const kind = flow === 'api_key' ? 'api_key' : 'oauth2';
  const key = provider.auth.find((auth) => auth.kind === 'api_key');
  const host = hostFieldOf(provider, kind);
  return [...(flow === 'api_key' && key !== undefined ? key.fields : []), ...(host === undefined ? [] : [host])];
}

/** Those that can be given without a browser. */
function givenFields(provider: Provider, flow: Flow['kind']) {
  const here = flow === 'api_key' || flow === 'client_credentials';
  return here ? fieldsOf(provider, flow).map(({ name, label, secret }) => ({ name, label, secret })) : [];
}

export function providerView(provider: Provider, hasClient: boolean): View<'providerView'> {
  const flows = provider.auth.flatMap((auth) => (auth.kind === 'api_key' ? ['api_key'] : auth.flows));
  return {
    id: provider.id,
    name: provider.name,
    documentation: provider.documentation,
    source: provider.source,
    hosts: provider.hosts.map(({ host, port, path }) => ({ host, port, ...optional('path', path) })),
    flows: [...new Set(flows)],
    fields: givenFields(provider, 'api_key'),
    scopes: [...new Set(provider.auth.flatMap((auth) => (auth.kind === 'oauth2' ? auth.scopes : [])))],
    variables: provider.variables.map((variable) => variable.name),
    operations: provider.operations.map(({ id, title, classes }) => ({ id, title, classes: [...classes] })),
    ...optional('unsupported', provider.unsupported),
    has_client: hasClient,
  };
}

export function flowView(flow: Flow, provider: Provider, publicUrl: string): View<'flowView'> {
  const { state } = flow;
  return {
    id: flow.id,
    provider: flow.provider,
    name: flow.name,
    kind: flow.kind,
    state: {
      kind: state.kind,
      ...(state.kind === 'waiting' || state.kind === 'device' ? { url: state.url } : {}),
      ...(state.kind === 'device' ? { user_code: state.userCode } : {}),
      ...(state.kind === 'connected' ? { connection: state.connection } : {}),
      ...(state.kind === 'failed' ? { code: state.code, detail: state.detail } : {}),
    },
    fields: givenFields(provider, flow.kind),
    url: `${publicUrl}/connect/${flow.id}`,
    expires_at: flow.expiresAt,
  };
}

export function runView(run: RunView, handle: string | undefined): View<'runView'> {
  return {
    id: run.id,
    agent: handle ?? run.agent,
    level: run.level,
    program: run.program,
    started_at: run.startedAt,
    ...optional('ended_at', run.endedAt),
  };
}

export function eventView(event: RecordedEvent): View<'eventView'> {
  return {
    id: event.id,
    at: event.at,
    name: event.name,
    subject: event.subject,
    actors: [...event.actors],
    fields: { ...event.fields },
    ...optional('request', event.request),
    ...optional('run', event.run),
    ...optional('connection', event.connection),
    ...optional('permission', event.permission),
    writer: event.writer,
    sequence: event.sequence,
  };
}

export function verificationView(found: Verification): View<'verificationView'> {
  return {
    holds: found.holds,
    events: found.events,
    writers: found.writers,
    tail: found.tail,
    unfinished: found.unfinished,
    checkpoints: found.checkpoints.map((checkpoint) => ({ ...checkpoint })),
    breaks: found.breaks.map((broken) => ({ ...broken })),
  };
}

export function sessionView(session: SessionView): View<'sessionView'> {
  return {
    id: session.id,
    user: session.email,
    kind: session.kind,
    label: session.label,
    authenticated_at: session.authenticatedAt,
    last_seen_at: session.lastSeenAt,
    expires_at: session.expiresAt,
  };
}

export function organizationView({ id, slug, name, issuer }: Organization): View<'organizationView'> {
  return { id, slug, name, issuer };
}

export function invitationView({ id, email, role, createdAt, expiresAt }: Invitation): View<'invitationView'> {
  return { id, email, role, created_at: createdAt, expires_at: expiresAt };
}

export function jobView(job: JobFacts): View<'jobView'> {
  return {
    id: job.id,
    kind: job.kind,
    status: job.status,
    progress: job.progress,
    attempts: job.attempts,
    run_at: job.runAt,
    ...optional('error', job.error),
  };
}

function logoutView(logout: Client['logout']) {
  return {
    post_logout_redirect_uris: [...(logout?.redirectUris ?? [])],
    ...optional('backchannel_logout_uri', logout?.backchannelUri),
    backchannel_logout_session_required: logout?.backchannelSessionRequired ?? false,
    ...optional('frontchannel_logout_uri', logout?.frontchannelUri),
    frontchannel_logout_session_required: logout?.frontchannelSessionRequired ?? false,
  };
}

export function clientView(client: Client): View<'clientView'> {
  const { id, name, authentication, grantTypes, scopes, resources, protects, jwks, signing, dpopBound } = client;
  return {
    id,
    name,
    authentication,
    redirect_uris: [...client.redirectUris],
    grant_types: [...grantTypes],
    scopes: [...scopes],
    resources: [...resources],
    protects: [...protects],
    jwks: jwks.map((key) => ({ ...key })),
    signing,
    require_pushed_authorization_requests: client.requirePushedAuthorizationRequests,
    require_signed_request_object: client.requireSignedRequestObject,
    lives: client.lives,
    authorization_details_types: [...client.authorizationDetailsTypes],
    dpop_bound_access_tokens: dpopBound,
    tls_client_certificate_bound_access_tokens: client.certificateBound,
    ...logoutView(client.logout),
    created_at: client.createdAt,
    secrets: client.secrets.map((secret) => ({
      id: secret.id,
      created_at: secret.createdAt,
      ...optional('expires_at', secret.expiresAt),
    })),
  };
}

export function trustView({ id, issuer, keys, client, user, subjects, claims, createdAt }: TrustedIssuer): View<'trustView'> {
  return {
    id,
    issuer,
    client,
    subjects: [...subjects],
    claims: { ...claims },
    keys: keys.kind,
    created_at: createdAt,
    ...optional('user', user),
    ...(keys.kind === 'jwks_uri' ? { jwks_uri: keys.uri } : {}),
  };
}

export function registrationTokenView(token: RegistrationToken): View<'registrationTokenView'> {
  return {
    id: token.id,
    name: token.name,
    created_at: token.createdAt,
    ...optional('uses_left', token.usesLeft),
    ...optional('used_at', token.usedAt),
    ...optional('expires_at', token.expiresAt),
  };
}

export function grantView(grant: StandingGrant): View<'grantView'> {
  return {
    id: grant.id,
    client: grant.client,
    client_name: grant.clientName,
    scopes: [...grant.scopes],
    resources: [...grant.resources],
    created_at: grant.createdAt,
    expires_at: grant.expiresAt,
  };
}

export function resourceView(resource: Resource): View<'resourceView'> {
  const { id, identifier, name, scopes, tokenFormat, algorithm, open, createdAt, version } = resource;
  const shown = scopes.map((scope) => ({ ...scope }));
  return { id, identifier, name, scopes: shown, token_format: tokenFormat, signing: algorithm, open, created_at: createdAt, version };
}

export function signingKeyView({ id, algorithm, state, createdAt, signsFrom }: SigningKeyFact): View<'signingKeyView'> {
  return { id, algorithm, state, created_at: createdAt, signs_from: signsFrom };
}

export function importedKeyView({ kid, algorithm, createdAt, retiresAt }: ImportedKey): View<'importedKeyView'> {
  return { kid, algorithm, created_at: createdAt, ...optional('retires_at', retiresAt) };
}

/** A page of a listing as views. */
export function pageView<T, V>(listing: { readonly items: readonly T[]; readonly next?: string }, view: (item: T) => V) {
  return { items: listing.items.map(view), ...optional('next', listing.next) };
}

export function detailsTypeView({ type, tells, fields }: DetailsType): View<'detailsType'> {
  const viewed = Object.entries(fields).map(([name, { kind, required, values, tells: words }]) => {
    const only = values === undefined ? {} : { values: [...values] };
    return [name, { kind, required, ...only, tells: words }] as const;
  });
  return { type, tells, fields: Object.fromEntries(viewed) };
}
