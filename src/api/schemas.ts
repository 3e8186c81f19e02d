import { z } from 'zod';
import { livesSchema } from './lives.ts';
import { clientAuthenticationNames, grantTypeNames, nameSchema, reachSchema, tokenFormatNames, upstreamKinds } from './vocabulary.ts';

const time = z.int().describe('milliseconds since 1970');
const id = (prefix: string) => z.string().regex(new RegExp(`^${prefix}_[0-7][0-9a-hjkmnp-tv-z]{25}$`));

export const pageQuery = z.object({
  text: z.string().max(200).optional(),
  cursor: z.string().max(200).optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
});

/** With `true` nothing is done: the answer tells what would be. */
export const previewQuery = z.object({ preview: z.enum(['true', 'false']).default('false') });

export const page = <T extends z.ZodType>(item: T) => z.object({ items: z.array(item), next: z.string().optional() });

export const agentView = z.object({
  id: id('agt'),
  handle: nameSchema,
  did: z.string(),
  algorithm: z.enum(['EdDSA', 'ES256']),
  thumbprint: z.string(),
  status: z.enum(['registered', 'claimed', 'active', 'suspended', 'revoked']),
  owner: z.object({ kind: z.enum(['user', 'organization']), id: z.string().optional(), email: z.string().optional() }).optional(),
  confirmed_at: time.optional(),
  created_at: time,
  expires_at: time.optional(),
});

export const connectionView = z.object({
  id: id('con'),
  provider: nameSchema,
  name: nameSchema,
  is_default: z.boolean(),
  shared: z.boolean(),
  kind: z.string(),
  status: z.object({ kind: z.string(), reason: z.string().optional(), since: time.optional() }),
  account: z.record(z.string(), z.string()),
  scopes: z.array(z.string()),
  hosts: z.array(z.string()).optional().describe("the account's own names, where each customer of the provider has one"),
  expires_at: time.optional(),
  created_at: time,
  refreshed_at: time.optional(),
});

export const providerView = z.object({
  id: nameSchema,
  name: z.string(),
  documentation: z.string(),
  source: z.enum(['catalogue', 'organization']),
  hosts: z.array(z.object({ host: z.string(), port: z.int(), path: z.string().optional() })),
  flows: z.array(z.string()),
  fields: z.array(z.object({ name: z.string(), label: z.string(), secret: z.boolean() })),
  scopes: z.array(z.string()),
  variables: z.array(z.string()),
  operations: z.array(z.object({ id: z.string(), title: z.string(), classes: z.array(z.string()) })),
  unsupported: z.string().optional(),
  has_client: z.boolean(),
});

export const permissionView = z.object({
  id: id('prm'),
  effect: z.enum(['allow', 'deny']),
  agent: z.string().optional().describe('handle; absent: every confirmed agent of the owner'),
  provider: z.string().optional(),
  connection: z.string().optional(),
  reach: reachSchema,
  level: z.literal('separated').optional(),
  pass_credential: z.boolean(),
  expires_at: time.optional(),
  created_at: time,
  ended_at: time.optional(),
});

export const confirmationView = z.object({
  id: id('cnf'),
  kind: z.string(),
  status: z.enum(['open', 'confirmed', 'refused', 'expired']),
  url: z.string(),
  expires_at: time,
  /** What came of it, where the asker needs it (the id of the permission, the job). */
  result: z.record(z.string(), z.string()).optional(),
});

export const flowView = z.object({
  id: id('flw'),
  provider: nameSchema,
  name: nameSchema,
  kind: z.string(),
  state: z.object({
    kind: z.enum(['waiting', 'device', 'connected', 'failed']),
    url: z.string().optional(),
    user_code: z.string().optional(),
    connection: z.string().optional(),
    code: z.string().optional(),
    detail: z.string().optional(),
  }),
  fields: z.array(z.object({ name: z.string(), label: z.string(), secret: z.boolean() })),
  url: z.string(),
  expires_at: time,
});

export const runView = z.object({
  id: id('run'),
  agent: z.string(),
  level: z.enum(['separated', 'cooperative']),
  program: z.string(),
  started_at: time,
  ended_at: time.optional(),
});

export const startedRunView = z.object({
  run: id('run'),
  credential: z.string(),
  credential_expires_at: time,
  authority_pem: z.string(),
  variables: z.record(z.string(), z.string()),
  connections: z.array(z.object({ provider: z.string(), name: z.string(), hosts: z.array(z.string()) })),
  /** Unix socket of the proxy for local runs; absent for remote ones, which use the relay. */
  proxy_socket: z.string().optional(),
  warnings: z.array(z.string()),
});

export const eventView = z.object({
  id: z.string(),
  at: time,
  name: z.string(),
  subject: z.string(),
  actors: z.array(z.string()),
  fields: z.record(z.string(), z.unknown()),
  request: z.string().optional(),
  run: z.string().optional(),
  connection: z.string().optional(),
  permission: z.string().optional(),
  writer: z.string(),
  sequence: z.int(),
});

export const verificationView = z.object({
  holds: z.boolean(),
  events: z.int(),
  writers: z.int(),
  tail: z.int(),
  unfinished: z.int(),
  checkpoints: z.array(z.object({ writer: z.string(), sequence: z.int(), at: time })),
  breaks: z.array(z.object({ writer: z.string(), sequence: z.int(), reason: z.string() })),
});

export const whoamiView = z.object({
  kind: z.enum(['browser', 'command_line', 'agent']),
  organization: z.object({ id: id('org'), slug: z.string(), name: z.string(), issuer: z.string() }),
  user: z.object({ id: id('usr'), email: z.string(), role: z.string() }).optional(),
  agent: agentView.optional(),
  /** Where the server runs, so that a run can say whether that is out of its program's reach. */
  place: z.object({ machine: z.string(), user: z.int().optional() }).optional(),
});

export const keyView = z.object({ id: z.string(), use: z.enum(['current', 'old']), wraps: z.int() });
export const jobView = z.object({
  id: id('job'),
  kind: z.string(),
  status: z.enum(['waiting', 'running', 'done', 'failed', 'cancelled']),
  progress: z.unknown(),
  attempts: z.int(),
  run_at: time,
  error: z.string().optional(),
});
export const sessionView = z.object({
  id: id('ses'),
  user: z.string().describe('the e-mail address of its person'),
  kind: z.enum(['browser', 'command_line']),
  label: z.string(),
  authenticated_at: time,
  last_seen_at: time,
  expires_at: time,
});
/** A session, and what ends with it. */
export const sessionWhole = sessionView.extend({
  ends: z.object({ grants: z.int(), clients: z.array(z.string()).describe('the names of those that are told') }),
});

export const organizationView = z.object({ id: id('org'), slug: z.string(), name: z.string(), issuer: z.string() });

export const newOrganization = z.strictObject({
  slug: z.string().min(1).max(63),
  name: z.string().min(1).max(200),
  owner: z.string().max(254).describe('the e-mail address of its first owner'),
  token_sha256: z.string().describe("of what is in the owner's link"),
});

const role = z.enum(['owner', 'administrator', 'member']);

export const newInvitation = z.strictObject({
  email: z.string().max(254),
  role: role.default('member'),
  token_sha256: z.string().regex(/^[0-9a-f]{64}$/, 'write a SHA-256 in hexadecimal'),
});

export const invitationView = z.object({ id: id('inv'), email: z.string(), role, created_at: time, expires_at: time });

export const waiting = z.object({ status: z.literal('waiting') });

export const problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  code: z.string(),
  detail: z.string().optional(),
  hint: z.string(),
  request_id: z.string(),
  url: z.string().optional(),
  errors: z.record(z.string(), z.string()).optional().describe('JSON pointer → sentence'),
  /** `gatehouse`: the answer is ours, not the upstream's. */
  source: z.literal('gatehouse'),
});

const texts = (length: number) => z.array(z.string().min(1).max(length)).max(100);
/** A client, by its id or by the URL of the document that describes it. */
const clientId = z.union([id('clt'), z.string().startsWith('https://').max(512)]);
const tokenAlgorithm = z.enum(['ES256', 'RS256', 'EdDSA']);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'write a SHA-256 in hexadecimal');

const clientMembers = {
  name: z.string().min(1).max(100),
  authentication: z.enum(clientAuthenticationNames),
  redirect_uris: texts(2000),
  grant_types: z.array(z.enum(grantTypeNames)).max(grantTypeNames.length),
  scopes: texts(128),
  resources: texts(512),
  protects: texts(512).describe('resources it is the server of: it may introspect tokens for them'),
  jwks: z.array(z.record(z.string(), z.unknown())).max(10).describe('public keys for private_key_jwt and request objects'),
  signing: tokenAlgorithm.describe('of its ID tokens'),
  require_pushed_authorization_requests: z.boolean().describe('it asks for codes by way of /par only'),
  lives: livesSchema.describe('its own lives, in seconds'),
  authorization_details_types: texts(200).describe('types of authorization details it may ask for'),
  require_signed_request_object: z.boolean().describe('it asks for codes by signed request objects only'),
  dpop_bound_access_tokens: z.boolean().describe('it is given no token that is not bound to its key by DPoP'),
  tls_client_certificate_bound_access_tokens: z.boolean().describe('it is given no token that is not bound to its certificate'),
  post_logout_redirect_uris: texts(2000).describe('where its own sign-out may lead, exactly'),
  backchannel_logout_uri: z.string().max(2000).describe('gets a logout token when a session ends'),
  backchannel_logout_session_required: z.boolean(),
  frontchannel_logout_uri: z.string().max(2000).describe('is loaded in a frame when the person signs out'),
  frontchannel_logout_session_required: z.boolean().describe('with iss and sid'),
};

/** A client as somebody asks for it. They make its secret; only the hash leaves their hands. */
export const newClient = z.strictObject({
  ...clientMembers,
  redirect_uris: clientMembers.redirect_uris.default([]),
  grant_types: clientMembers.grant_types.default(['authorization_code', 'refresh_token']),
  scopes: clientMembers.scopes.default([]),
  resources: clientMembers.resources.default([]),
  protects: clientMembers.protects.default([]),
  jwks: clientMembers.jwks.default([]),
  signing: tokenAlgorithm.default('ES256'),
  require_pushed_authorization_requests: clientMembers.require_pushed_authorization_requests.default(false),
  require_signed_request_object: clientMembers.require_signed_request_object.default(false),
  authorization_details_types: clientMembers.authorization_details_types.default([]),
  lives: clientMembers.lives.default({}),
  dpop_bound_access_tokens: clientMembers.dpop_bound_access_tokens.default(false),
  tls_client_certificate_bound_access_tokens: clientMembers.tls_client_certificate_bound_access_tokens.default(false),
  post_logout_redirect_uris: clientMembers.post_logout_redirect_uris.default([]),
  backchannel_logout_uri: clientMembers.backchannel_logout_uri.optional(),
  backchannel_logout_session_required: clientMembers.backchannel_logout_session_required.default(false),
  frontchannel_logout_uri: clientMembers.frontchannel_logout_uri.optional(),
  frontchannel_logout_session_required: clientMembers.frontchannel_logout_session_required.default(false),
  secret_sha256: sha256.optional(),
});

export const newClientSecret = z.strictObject({ secret_sha256: sha256, expires_at: time.optional() });

const trustMembers = {
  issuer: z.string().min(1).max(512),
  client: z.string().min(1).max(2000),
  subjects: texts(255).describe('whole subjects, or their beginning up to : or / and then *'),
  claims: z.record(z.string().min(1).max(128), z.string().max(512)).describe('claims that must have exactly this value'),
};

/** An issuer whose assertions a client may present: with its keys, where they are, or by discovery. */
export const newTrust = z.strictObject({
  ...trustMembers,
  claims: trustMembers.claims.default({}),
  user: z.string().min(1).max(320).optional().describe('e-mail address or id of the person in whose name the tokens are'),
  jwks: z.array(z.record(z.string(), z.unknown())).max(10).optional(),
  jwks_uri: z.string().max(512).optional(),
});

export const trustView = z.object({
  id: id('tri'),
  ...trustMembers,
  user: id('usr').optional(),
  keys: z.enum(['jwks', 'jwks_uri', 'discovery']),
  jwks_uri: z.string().optional(),
  created_at: time,
});

/** A token with which clients register themselves, as somebody asks for it; only its hash leaves their hands. */
export const newRegistrationToken = z.strictObject({
  name: z.string().min(1).max(100),
  token_sha256: sha256,
  uses: z.int().min(1).max(1_000_000).optional(),
  expires_at: time.optional(),
});

export const registrationTokenView = z.object({
  id: id('rgt'),
  name: z.string(),
  uses_left: z.int().optional(),
  used_at: time.optional(),
  expires_at: time.optional(),
  created_at: time,
});

export const clientView = z.object({
  id: clientId,
  ...clientMembers,
  backchannel_logout_uri: clientMembers.backchannel_logout_uri.optional(),
  frontchannel_logout_uri: clientMembers.frontchannel_logout_uri.optional(),
  created_at: time,
  secrets: z.array(z.object({ id: id('sct'), created_at: time, expires_at: time.optional() })),
});

export const grantView = z.object({
  id: id('grt'),
  client: clientId,
  client_name: z.string(),
  scopes: z.array(z.string()),
  resources: z.array(z.string()),
  created_at: time,
  expires_at: time,
});

const resourceScopes = z
  .array(z.strictObject({ name: z.string().min(1).max(128), tells: z.string().min(1).max(200) }))
  .max(100)
  .describe('each with the end of "it will be able to …", as the consent page says it');

const resourceMembers = {
  name: z.string().min(1).max(100),
  scopes: resourceScopes,
  token_format: z.enum(tokenFormatNames),
  signing: tokenAlgorithm.describe('of its JWTs'),
  open: z.boolean().describe('every client may ask a person for it'),
};

/** A resource as somebody asks for it: the exact resource indicator, and what tokens for it are like. */
export const newResource = z.strictObject({
  identifier: z.string().min(1).max(512),
  name: resourceMembers.name,
  scopes: resourceScopes.default([]),
  token_format: resourceMembers.token_format.default('jwt'),
  signing: tokenAlgorithm.default('ES256'),
  open: resourceMembers.open.default(false),
});

/** Everything but its identifier, and the version that was looked at. */
export const changedResource = z.strictObject({ ...resourceMembers, version: z.int() });

export const resourceView = z.object({
  id: id('rsc'),
  identifier: z.string(),
  ...resourceMembers,
  created_at: time,
  version: z.int(),
});

const detailsField = z.strictObject({
  kind: z.enum(['text', 'texts', 'number', 'boolean']),
  required: z.boolean().default(false),
  values: z.array(z.string().max(1000)).max(100).optional().describe('the only ones of a text'),
  tells: z.string().min(1).max(200).describe('what people are told it is'),
});

/** A type of authorization details (RFC 9396 §2). */
export const detailsType = z.strictObject({
  type: z.string().min(1).max(200),
  tells: z.string().min(1).max(200).describe('the end of "it will be able to ..."'),
  fields: z.record(z.string(), detailsField).default({}),
});

export const signingKeyView = z.object({
  id: id('sky'),
  algorithm: tokenAlgorithm,
  state: z.enum(['next', 'signing', 'verifying']),
  created_at: time,
  signs_from: time,
});
/** A public key of an earlier system, and the `kid` that its tokens name. */
export const importedKey = z.strictObject({
  kid: z.string().min(1).max(255),
  public_jwk: z.record(z.string(), z.unknown()),
  retires_at: time.optional(),
});
export const importedKeyView = z.object({ kid: z.string(), algorithm: z.string(), created_at: time, retires_at: time.optional() });
export const newSigningKey = z.strictObject({ algorithm: tokenAlgorithm.default('ES256') });

const upstreamMembers = {
  name: nameSchema,
  kind: z.enum(upstreamKinds),
  issuer: z.string().max(500),
  scopes: texts(128),
  domains: texts(253).describe(
    'mail domains whose addresses it is believed about, where it says that they are verified; * of everybody who is new',
  ),
  sign_up: z.boolean().describe('whether a first sign-in with such an address makes a user'),
};

/** An upstream as somebody asks for it. Without `client_id`, the client that the operator set for this kind. */
export const newUpstream = z.strictObject({
  ...upstreamMembers,
  label: z.string().max(60).optional().describe('what its button says'),
  issuer: upstreamMembers.issuer.optional(),
  client_id: z.string().min(1).max(512).optional(),
  client_secret: z.string().min(1).max(4096).optional(),
  apple_key: z
    .strictObject({ team_id: z.string().max(20), key_id: z.string().max(20), private_key: z.string().max(4096) })
    .optional()
    .describe('at Apple, instead of a secret'),
  scopes: upstreamMembers.scopes.default([]),
  domains: upstreamMembers.domains.default([]),
  sign_up: upstreamMembers.sign_up.default(false),
});

export const upstreamView = z.object({
  id: id('ups'),
  ...upstreamMembers,
  label: z.string(),
  client_id: z.string().optional().describe("absent: the platform's"),
  redirect_uri: z.string().describe('to register there'),
  created_at: time,
});

export const upstreamTest = z.object({
  works: z.boolean(),
  checks: z.array(z.object({ what: z.enum(['metadata', 'keys', 'client']), holds: z.boolean(), tells: z.string() })),
});
