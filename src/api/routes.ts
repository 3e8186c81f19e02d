import { z } from 'zod';
import * as s from './schemas.ts';
import { nameSchema, reachSchema } from './vocabulary.ts';

/**
 * Who may call a route. `command_line` covers the local socket and a signed-in command line: they look and start, and
 * never widen (SECURITY 4). `agent` proves its key (`Authorization: PoP …`). `browser` is a signed-in page.
 */
export type CallerKind = 'anyone' | 'browser' | 'command_line' | 'agent';

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly callers: readonly CallerKind[];
  readonly summary: string;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodObject;
  /** Status → schema. */
  readonly answers: Readonly<Record<number, z.ZodType>>;
}

const person = ['browser', 'command_line'] as const;
const everyone = ['browser', 'command_line', 'agent'] as const;
const none = z.object({});
const route = <const R extends Route>(row: R): R => row;

/** The management contract: every route under `/v1`. The server, OpenAPI and the typed client derive from it. */
export const routes = {
  whoami: route({ method: 'GET', path: '/v1/whoami', callers: everyone, summary: 'who is asking', answers: { 200: s.whoamiView } }),

  agent_list: route({
    method: 'GET',
    path: '/v1/agents',
    callers: person,
    summary: 'agents',
    query: s.pageQuery,
    answers: { 200: s.page(s.agentView) },
  }),
  agent_get: route({
    method: 'GET',
    path: '/v1/agents/:agent',
    callers: everyone,
    summary: 'one agent, by id or handle',
    answers: { 200: s.agentView },
  }),
  agent_register: route({
    method: 'POST',
    path: '/v1/agents',
    callers: ['anyone'],
    summary: 'register an agent; the PoP header proves the key that is registered (loopback or invited)',
    body: z.object({ handle: nameSchema, public_jwk: z.record(z.string(), z.string()) }),
    answers: { 201: s.agentView },
  }),
  agent_claim_offer: route({
    method: 'POST',
    path: '/v1/agents/:agent/claim',
    callers: ['agent'],
    summary: 'ask for a code that a person types',
    body: z.object({ host: z.string().max(255) }),
    answers: { 201: z.object({ code: z.string(), url: z.string(), expires_at: z.int(), fingerprint: z.string() }) },
  }),
  agent_claim_state: route({
    method: 'GET',
    path: '/v1/agents/:agent/claim',
    callers: ['agent'],
    summary: 'who typed the code',
    answers: {
      200: z.object({ kind: z.enum(['none', 'offered', 'typed', 'accepted']), by: z.string().optional(), expires_at: z.int().optional() }),
    },
  }),
  agent_claim_answer: route({
    method: 'POST',
    path: '/v1/agents/:agent/claim/answer',
    callers: ['agent'],
    summary: 'the terminal accepts or refuses who typed the code',
    body: z.object({ accept: z.boolean() }),
    answers: { 200: s.agentView },
  }),
  agent_confirm: route({
    method: 'POST',
    path: '/v1/agents/:agent/confirm',
    callers: person,
    summary: 'ask to confirm the agent as one of yours',
    body: none,
    answers: { 202: s.confirmationView },
  }),
  agent_suspend: route({
    method: 'POST',
    path: '/v1/agents/:agent/suspend',
    callers: person,
    summary: 'suspend at once',
    body: none,
    answers: { 200: s.agentView },
  }),
  agent_reactivate: route({
    method: 'POST',
    path: '/v1/agents/:agent/reactivate',
    callers: person,
    summary: 'ask to re-activate',
    body: none,
    answers: { 202: s.confirmationView },
  }),
  agent_revoke: route({
    method: 'POST',
    path: '/v1/agents/:agent/revoke',
    callers: person,
    summary: 'revoke for good; with preview, only tells what would end',
    body: z.object({ preview: z.boolean().default(false) }),
    answers: { 200: z.object({ agent: s.agentView, ends: z.object({ runs: z.int(), permissions: z.int() }) }) },
  }),

  provider_list: route({
    method: 'GET',
    path: '/v1/providers',
    callers: everyone,
    summary: 'providers',
    query: s.pageQuery,
    answers: { 200: s.page(s.providerView) },
  }),
  provider_get: route({
    method: 'GET',
    path: '/v1/providers/:provider',
    callers: everyone,
    summary: 'one provider',
    answers: { 200: s.providerView },
  }),
  provider_register: route({
    method: 'POST',
    path: '/v1/providers',
    callers: person,
    summary: 'check a definition and ask to add it',
    body: z.object({ definition: z.record(z.string(), z.unknown()) }),
    answers: { 202: s.confirmationView },
  }),
  provider_remove: route({
    method: 'DELETE',
    path: '/v1/providers/:provider',
    callers: person,
    summary: 'ask to remove a definition of your own',
    answers: { 202: s.confirmationView },
  }),
  provider_client: route({
    method: 'PUT',
    path: '/v1/providers/:provider/client',
    callers: person,
    summary: 'ask to store your own OAuth client at the provider',
    body: z.object({ client_id: z.string().min(1).max(512), client_secret: z.string().max(4096).optional() }),
    answers: { 202: s.confirmationView },
  }),

  connection_list: route({
    method: 'GET',
    path: '/v1/connections',
    callers: everyone,
    summary: 'connections',
    query: s.pageQuery.extend({ provider: z.string().optional(), status: z.string().optional() }),
    answers: { 200: s.page(s.connectionView) },
  }),
  connection_get: route({
    method: 'GET',
    path: '/v1/connections/:connection',
    callers: everyone,
    summary: 'one connection, by id or provider/name',
    answers: { 200: s.connectionView },
  }),
  connection_begin: route({
    method: 'POST',
    path: '/v1/flows',
    callers: person,
    summary: 'begin to connect an account',
    body: z.object({
      provider: nameSchema,
      name: nameSchema.default('default'),
      flow: z.enum(['pkce', 'device_code', 'dcr_pkce', 'api_key', 'client_credentials']).optional(),
      scopes: z.array(z.string().max(256)).max(100).optional(),
      force: z.boolean().default(false),
      allow: z
        .array(z.object({ agent: z.string(), allow: z.string() }))
        .max(50)
        .default([]),
    }),
    answers: { 201: s.flowView },
  }),
  connection_flow: route({
    method: 'GET',
    path: '/v1/flows/:flow',
    callers: person,
    summary: 'how a flow stands',
    answers: { 200: s.flowView },
  }),
  connection_key: route({
    method: 'POST',
    path: '/v1/flows/:flow/key',
    callers: person,
    summary:
      'complete an API-key flow; what it made rests until its owner confirms it in the browser, unless they ended it there over https',
    body: z.object({ fields: z.record(z.string(), z.string().max(16384)) }),
    answers: { 200: s.flowView },
  }),
  connection_confirm: route({
    method: 'POST',
    path: '/v1/flows/confirm',
    callers: person,
    summary: 'ask to use what these flows connected, where it rests',
    body: z.object({ flows: z.array(z.string()).min(1).max(200) }),
    answers: { 202: s.confirmationView },
  }),
  connection_default: route({
    method: 'POST',
    path: '/v1/connections/:connection/default',
    callers: person,
    summary: 'ask to make it the default of its provider',
    body: none,
    answers: { 200: s.connectionView, 202: s.confirmationView },
  }),
  connection_share: route({
    method: 'POST',
    path: '/v1/connections/:connection/share',
    callers: person,
    summary: 'ask to share with everyone in the organization, or stop',
    body: z.object({ shared: z.boolean() }),
    answers: { 200: s.connectionView, 202: s.confirmationView },
  }),
  connection_end: route({
    method: 'DELETE',
    path: '/v1/connections/:connection',
    callers: person,
    summary: 'disconnect; with preview, only tells what would end',
    query: z.object({ preview: z.enum(['true', 'false']).default('false') }),
    answers: {
      200: z.object({
        connection: s.connectionView,
        permissions: z.int(),
        revoked_upstream: z.enum(['yes', 'no', 'not_offered', 'preview']),
      }),
    },
  }),

  permission_list: route({
    method: 'GET',
    path: '/v1/permissions',
    callers: everyone,
    summary: 'permissions',
    query: s.pageQuery.extend({
      agent: z.string().optional(),
      connection: z.string().optional(),
      ended: z.enum(['true', 'false']).default('false'),
    }),
    answers: { 200: s.page(s.permissionView) },
  }),
  permission_give: route({
    method: 'POST',
    path: '/v1/permissions',
    callers: person,
    summary: 'ask for a permission; a deny acts at once',
    body: z.object({
      effect: z.enum(['allow', 'deny']).default('allow'),
      agent: z.string().optional(),
      provider: nameSchema,
      connection: nameSchema.optional(),
      reach: reachSchema,
      level: z.literal('separated').optional(),
      pass_credential: z.boolean().default(false),
      expires_at: z.int().positive().optional(),
    }),
    answers: { 201: s.permissionView, 202: s.confirmationView },
  }),
  permission_end: route({
    method: 'DELETE',
    path: '/v1/permissions/:permission',
    callers: person,
    summary: 'end an allow at once; ending a deny asks',
    answers: { 200: s.permissionView, 202: s.confirmationView },
  }),
  permission_explain: route({
    method: 'POST',
    path: '/v1/permissions/explain',
    callers: everyone,
    summary: 'what would be decided, and why',
    body: z.object({
      agent: z.string(),
      method: z.string().regex(/^[A-Z]{1,20}$/),
      url: z.url(),
      connection: z.string().optional(),
      level: z.enum(['separated', 'cooperative']).default('cooperative'),
    }),
    answers: {
      200: z.object({
        effect: z.enum(['allow', 'deny']),
        reason: z.string().optional(),
        permission: z.string().optional(),
        provider: z.string().optional(),
        connection: z.string().optional(),
        operation: z.string().optional(),
        classes: z.array(z.string()),
        command: z.string().optional(),
        hint: z.string().optional(),
        considered: z.array(z.object({ permission: z.string(), applies: z.boolean(), why: z.string() })),
      }),
    },
  }),
  confirmation_get: route({
    method: 'GET',
    path: '/v1/confirmations/:confirmation',
    callers: person,
    summary: 'how a confirmation stands',
    answers: { 200: s.confirmationView },
  }),
  confirmation_list: route({
    method: 'GET',
    path: '/v1/confirmations',
    callers: person,
    summary: 'confirmations',
    query: s.pageQuery.extend({ status: z.enum(['open', 'confirmed', 'refused', 'expired']).optional() }),
    answers: { 200: s.page(s.confirmationView) },
  }),

  run_start: route({
    method: 'POST',
    path: '/v1/runs',
    callers: ['agent'],
    summary: 'start a run',
    body: z.object({
      level: z.enum(['separated', 'cooperative']),
      program: z.string().max(255),
      connections: z.record(z.string(), z.string()).default({}),
      passed: z.array(z.string()).max(100).default([]),
    }),
    answers: { 201: s.startedRunView },
  }),
  run_renew: route({
    method: 'POST',
    path: '/v1/runs/:run/renew',
    callers: ['agent'],
    summary: 'renew the proxy credential',
    body: none,
    answers: { 200: z.object({ credential: z.string(), credential_expires_at: z.int() }) },
  }),
  run_end: route({
    method: 'POST',
    path: '/v1/runs/:run/end',
    callers: ['agent'],
    summary: 'end a run',
    body: z.object({ reason: z.string().max(100).default('exited') }),
    answers: { 200: none },
  }),
  run_list: route({
    method: 'GET',
    path: '/v1/runs',
    callers: person,
    summary: 'runs',
    query: s.pageQuery.extend({ agent: z.string().optional() }),
    answers: { 200: s.page(s.runView) },
  }),

  event_list: route({
    method: 'GET',
    path: '/v1/events',
    callers: person,
    summary: 'the audit trail',
    query: s.pageQuery.extend({
      name: z.string().optional(),
      subject: z.string().optional(),
      actor: z.string().optional(),
      run: z.string().optional(),
      connection: z.string().optional(),
      since: z.coerce.number().int().optional(),
      until: z.coerce.number().int().optional(),
      order: z.enum(['newest', 'oldest']).default('newest'),
      follow: z.string().max(6_000).optional(),
    }),
    answers: { 200: z.object({ items: z.array(s.eventView), next: z.string().optional(), follow: z.string().optional() }) },
  }),
  event_verify: route({
    method: 'POST',
    path: '/v1/events/verify',
    callers: person,
    summary: 'verify the chains',
    body: none,
    answers: { 200: s.verificationView },
  }),

  key_list: route({
    method: 'GET',
    path: '/v1/keys',
    callers: person,
    summary: 'master keys',
    answers: { 200: z.object({ items: z.array(s.keyView) }) },
  }),
  key_rotate: route({
    method: 'POST',
    path: '/v1/keys/rotate',
    callers: person,
    summary: 'ask to re-wrap (or, compromised, re-seal) everything with the newest master key',
    body: z.object({ compromised: z.boolean().default(false) }),
    answers: { 202: s.confirmationView },
  }),
  key_add: route({
    method: 'POST',
    path: '/v1/keys',
    callers: person,
    summary: 'ask to add a master key to the key file',
    body: none,
    answers: { 202: s.confirmationView },
  }),
  client_list: route({
    method: 'GET',
    path: '/v1/clients',
    callers: person,
    summary: 'OAuth clients of the organization',
    query: s.pageQuery.omit({ text: true }),
    answers: { 200: s.page(s.clientView) },
  }),
  client_get: route({
    method: 'GET',
    path: '/v1/clients/:client',
    callers: person,
    summary: 'one OAuth client',
    answers: { 200: s.clientView },
  }),
  client_add: route({
    method: 'POST',
    path: '/v1/clients',
    callers: person,
    summary: 'ask to register an OAuth client; the asker makes its secret and sends the hash',
    body: s.newClient,
    answers: { 202: s.confirmationView },
  }),
  client_remove: route({
    method: 'DELETE',
    path: '/v1/clients/:client',
    callers: person,
    summary: 'remove an OAuth client, and every token of it, at once',
    answers: { 200: none },
  }),
  client_secret_add: route({
    method: 'POST',
    path: '/v1/clients/:client/secrets',
    callers: person,
    summary: 'ask to give an OAuth client another secret, by its hash; the others go on',
    body: s.newClientSecret,
    answers: { 202: s.confirmationView },
  }),
  client_secret_end: route({
    method: 'DELETE',
    path: '/v1/clients/:client/secrets/:secret',
    callers: person,
    summary: 'end a secret of an OAuth client at once',
    answers: { 200: none },
  }),
  grant_list: route({
    method: 'GET',
    path: '/v1/grants',
    callers: person,
    summary: 'what you let OAuth clients do',
    answers: { 200: z.object({ items: z.array(s.grantView) }) },
  }),
  grant_end: route({
    method: 'DELETE',
    path: '/v1/grants/:grant',
    callers: person,
    summary: 'end a grant of yours, and every token below it, at once',
    answers: { 200: none },
  }),
  resource_list: route({
    method: 'GET',
    path: '/v1/resources',
    callers: person,
    summary: 'resources that tokens are for',
    query: s.pageQuery,
    answers: { 200: s.page(s.resourceView) },
  }),
  resource_get: route({
    method: 'GET',
    path: '/v1/resources/:resource',
    callers: person,
    summary: 'one resource, by id or identifier',
    answers: { 200: s.resourceView },
  }),
  resource_add: route({
    method: 'POST',
    path: '/v1/resources',
    callers: person,
    summary: 'ask to register a resource that tokens are for',
    body: s.newResource,
    answers: { 202: s.confirmationView },
  }),
  resource_change: route({
    method: 'PUT',
    path: '/v1/resources/:resource',
    callers: person,
    summary: 'ask to change a resource, all of it but its identifier',
    body: s.changedResource,
    answers: { 202: s.confirmationView },
  }),
  resource_remove: route({
    method: 'DELETE',
    path: '/v1/resources/:resource',
    callers: person,
    summary: 'remove a resource; with preview, only tell what it is',
    query: z.object({ preview: z.enum(['true', 'false']).default('false') }),
    answers: { 200: s.resourceView },
  }),
  signing_key_list: route({
    method: 'GET',
    path: '/v1/signing-keys',
    callers: person,
    summary: 'keys that sign tokens',
    answers: { 200: z.object({ items: z.array(s.signingKeyView) }) },
  }),
  signing_key_rotate: route({
    method: 'POST',
    path: '/v1/signing-keys',
    callers: person,
    summary: 'ask to make the next key that signs tokens',
    body: s.newSigningKey,
    answers: { 202: s.confirmationView },
  }),
  job_get: route({ method: 'GET', path: '/v1/jobs/:job', callers: person, summary: 'a job and its progress', answers: { 200: s.jobView } }),

  session_list: route({
    method: 'GET',
    path: '/v1/sessions',
    callers: person,
    summary: 'your sessions',
    answers: { 200: s.page(s.sessionView) },
  }),
  session_end: route({
    method: 'DELETE',
    path: '/v1/sessions/:session',
    callers: person,
    summary: 'end a session (`current` for this one)',
    answers: { 200: none },
  }),
  command_line_offer: route({
    method: 'POST',
    path: '/v1/command-line',
    callers: ['anyone'],
    summary: 'begin a command-line sign-in',
    body: z.object({ label: z.string().max(255) }),
    answers: { 201: z.object({ device_code: z.string(), user_code: z.string(), url: z.string(), expires_at: z.int(), interval: z.int() }) },
  }),
  command_line_collect: route({
    method: 'POST',
    path: '/v1/command-line/collect',
    callers: ['anyone'],
    summary: 'collect the session once a person approved',
    body: z.object({ device_code: z.string() }),
    answers: { 200: z.object({ session: z.string(), user: z.string(), expires_at: z.int() }), 202: s.waiting },
  }),
  setup_link: route({
    method: 'POST',
    path: '/v1/setup-link',
    callers: ['command_line'],
    summary: 'replace the set-up link (local socket only)',
    body: none,
    answers: { 201: z.object({ url: z.string(), expires_at: z.int() }) },
  }),
} as const;

export type RouteName = keyof typeof routes;
