import { z } from 'zod';
import { livesSchema, nameSchema, printReach, type Reach, reachSchema, schemas } from '#api';
import { accountLabel, isTenant, type Provider } from '#connect';
import { type AgentId, type ConnectionId, Fault, type FlowId, type PermissionId, type Principal, type UserId } from '#kernel';
import type { ChangeKind, PermissionDraft } from '#policy';
import { clientDraft, type NewClient, tokenDraft } from './client-draft.ts';
import type { Rooms, Writing } from './contract.ts';
import { importedKeyDraft } from './imported-key-draft.ts';
import type { Lookups } from './lookups.ts';
import { timeText } from './pages/layout.ts';
import { type NewResource, resourceDraft } from './resource-draft.ts';
import { trustDraft, trustedUser } from './trust-draft.ts';
import { toldUpstream } from './upstream-draft.ts';

/** A change in words: what will be true after yes. */
export interface Told {
  readonly title: string;
  readonly sentence: string;
  readonly facts: readonly (readonly [label: string, value: string])[];
  readonly warning?: string;
  /** The whole change where it is longer than facts can say. */
  readonly whole?: string;
  readonly yes: string;
}

interface Context {
  readonly rooms: Pick<Rooms, 'policy' | 'identity' | 'connect' | 'issuer' | 'signin' | 'applyKeys' | 'organization'>;
  readonly look: Lookups;
}

type Result = Readonly<Record<string, string>>;

interface ChangeRow<T> {
  readonly schema: z.ZodType<T>;
  tell(context: Context, change: T): Promise<Told>;
  /** What must be done before that transaction. */
  prepare?(context: Context, by: Principal, change: T): Promise<(tx: Writing) => Promise<unknown>>;
  /** Runs in the transaction that spends the confirmation, after what was prepared; returns what the asker is told. */
  apply(context: Context, tx: Writing, by: Principal, change: T): Promise<Result>;
}

const change = <T>(row: ChangeRow<T>): ChangeRow<T> => row;
const id = <T extends string>() => z.string() as unknown as z.ZodType<T>;

const target = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('connection'), id: id<ConnectionId>() }),
  z.strictObject({ kind: z.literal('provider'), id: nameSchema }),
]);

/** A permission as it is parked: the draft, with absent members left out. */
const permissionChange = z.strictObject({
  effect: z.enum(['allow', 'deny']),
  agent: id<AgentId>().optional(),
  owner: id<UserId>().optional(),
  target,
  reach: reachSchema,
  level: z.literal('separated').optional(),
  pass_credential: z.boolean(),
  expires_at: z.int().optional(),
});
export type PermissionChange = z.infer<typeof permissionChange>;

export function draftOf(given: PermissionChange): PermissionDraft {
  const { effect, agent, owner, reach, level } = given;
  return { effect, agent, owner, target: given.target, reach, level, passCredential: given.pass_credential, expiresAt: given.expires_at };
}

const agentChange = z.strictObject({ agent: id<AgentId>() });
const connectionChange = z.strictObject({ connection: id<ConnectionId>(), shared: z.boolean() });
const providerChange = z.strictObject({ definition: z.record(z.string(), z.unknown()) });
const rotation = z.strictObject({ compromised: z.boolean() });

/** The only list of changes a person confirms: what each says, and what it does. */
const changes = {
  'permission.give': change({
    schema: permissionChange,
    async tell({ look, rooms }, given) {
      const who = await askedAgent(look, given.agent);
      const what = await askedTarget({ look, rooms }, given.target);
      return {
        title: `Let ${who} use ${what}?`,
        sentence: `${given.agent === undefined ? capital(who) : who} will be able to ${reachSentence(given.reach)} with ${what}. You can end this at any time.`,
        facts: permissionFacts(given, who, what),
        ...(given.reach.classes.includes('mint-credential')
          ? { warning: 'This includes creating keys, tokens, webhooks or members: whoever holds those no longer needs Gatehouse.' }
          : {}),
        yes: 'Yes, allow it',
      };
    },
    async apply({ rooms }, tx, by, given) {
      return { permission: (await rooms.policy.give(tx, by, draftOf(given))).id };
    },
  }),
  'permission.end': change({
    schema: z.strictObject({ permission: id<PermissionId>() }),
    async tell({ look, rooms }, given) {
      const rule = await rooms.policy.permission(rooms.organization.id, given.permission);
      if (rule === undefined) throw new Fault('not_found');
      const who = await askedAgent(look, rule.agent);
      return {
        title: 'Remove a rule that denies?',
        sentence: 'What this rule refuses today may be allowed by other permissions once it is gone.',
        facts: [
          ['Agent', who],
          ['Account', await askedTarget({ look, rooms }, rule.target)],
          ['It denies', printReach(rule.reach).replaceAll(',', ', ')],
          ['Rule', rule.id],
        ],
        yes: 'Yes, remove it',
      };
    },
    async apply({ rooms }, tx, by, given) {
      return { permission: (await rooms.policy.end(tx, by, given.permission)).id };
    },
  }),
  'agent.confirm': change({
    schema: agentChange,
    async tell({ look }, given) {
      const agent = await look.agent(given.agent);
      return {
        title: `Is ${agent.handle} your agent?`,
        sentence: 'It will count as one of your agents: permissions that you give to all of your agents cover it from now on.',
        facts: agentFacts(agent),
        yes: 'Yes, it is mine',
      };
    },
    async apply({ rooms }, tx, by, given) {
      return { agent: (await rooms.identity.confirmAgent(tx, by, given.agent)).id };
    },
  }),
  'agent.reactivate': change({
    schema: agentChange,
    async tell({ look }, given) {
      const agent = await look.agent(given.agent);
      return {
        title: `Let ${agent.handle} work again?`,
        sentence: 'It is suspended now. Its permissions hold again from the moment you say yes; runs that were stopped stay stopped.',
        facts: agentFacts(agent),
        yes: 'Yes, re-activate it',
      };
    },
    async apply({ rooms }, tx, by, given) {
      return { agent: (await rooms.identity.reactivate(tx, by, given.agent)).id };
    },
  }),
  'connection.confirm': change({
    schema: z.strictObject({ made: z.array(z.strictObject({ connection: id<ConnectionId>(), flow: id<FlowId>() })).min(1) }),
    async tell(context, { made }) {
      const names = await Promise.all(made.map(({ connection }) => askedTarget(context, { kind: 'connection', id: connection })));
      const accounts = await Promise.all(made.map(({ connection }) => accountOf(context, connection)));
      return {
        title: names.length === 1 ? `Use ${names[0]}?` : `Use these ${names.length} accounts?`,
        sentence:
          'Say yes only if it was you who connected this: somebody else could have, with a key or an account of theirs. Permissions for every account of a provider cover it from then on.',
        facts: names.flatMap(
          (name, at) =>
            [
              ['Connection', [name, accounts[at]].filter(Boolean).join(', account ')],
              ['If it was not you', `gatehouse logout ${name}`],
            ] as const,
        ),
        yes: 'Yes, I connected it',
      };
    },
    async apply({ rooms }, tx, by, { made }) {
      for (const one of made) await rooms.connect.confirm(tx, by, one);
      return {};
    },
  }),
  'connection.default': change({
    schema: z.strictObject({ connection: id<ConnectionId>() }),
    async tell(context, given) {
      const what = await askedTarget(context, { kind: 'connection', id: given.connection });
      return {
        title: `Make ${what} the default?`,
        sentence: 'Agents that may use several accounts of this provider use this one wherever they name none.',
        facts: [['Connection', what]],
        yes: 'Yes, make it the default',
      };
    },
    prepare: ({ rooms }, by, given) => rooms.connect.setDefault(by, given.connection),
    apply: async (_context, _tx, _by, given) => ({ connection: given.connection }),
  }),
  'connection.share': change({
    schema: connectionChange,
    async tell(context, given) {
      const what = await askedTarget(context, { kind: 'connection', id: given.connection });
      return {
        title: given.shared ? `Share ${what} with everyone?` : `Stop sharing ${what}?`,
        sentence: given.shared
          ? `Everyone in ${context.rooms.organization.name} will be able to let their agents use this account.`
          : 'Only you will be able to use it.',
        facts: [['Connection', what]],
        yes: given.shared ? 'Yes, share it' : 'Yes, stop',
      };
    },
    async apply({ rooms }, tx, by, given) {
      return { connection: (await rooms.connect.share(tx, by, given.connection, given.shared)).id };
    },
  }),
  'connection.reveal': change({ schema: z.looseObject({}), tell: notOffered, apply: notOffered }),
  'provider.accept': change({
    schema: z.strictObject({ connection: id<ConnectionId>(), provider: nameSchema, digest: z.string() }),
    async tell(context, given) {
      const what = await askedTarget(context, { kind: 'connection', id: given.connection });
      const provider = await context.rooms.connect.provider(context.rooms.organization.id, given.provider);
      return {
        title: `Go on using ${what} with the changed ${provider.name}?`,
        sentence:
          'The definition of this provider changed after you connected. Your credential stays at rest until you agree to where it may go.',
        facts: [['Connection', what], ...providerFacts(provider)],
        yes: 'Yes, I agree',
      };
    },
    async apply({ rooms }, tx, by, given) {
      return { connection: (await rooms.connect.accept(tx, by, given.connection, given.digest)).id };
    },
  }),
  'provider.register': change({
    schema: providerChange,
    async tell({ rooms }, given) {
      const provider = await rooms.connect.judgeProvider(given.definition);
      return {
        title: `Add the provider ${provider.name}?`,
        sentence: 'Credentials that people connect for it are sent to these hosts, and to nobody else.',
        facts: [['Id', provider.id], ...providerFacts(provider)],
        whole: JSON.stringify(given.definition, null, 2),
        yes: 'Yes, add it',
      };
    },
    async apply({ rooms }, tx, by, given) {
      return { provider: (await rooms.connect.registerProvider(tx, by, given.definition)).id };
    },
  }),
  'provider.remove': change({
    schema: z.strictObject({ provider: nameSchema }),
    async tell({ rooms }, given) {
      const provider = await rooms.connect.provider(rooms.organization.id, given.provider);
      return {
        title: `Remove the provider ${provider.name}?`,
        sentence: 'Calls to its hosts no longer get a credential. Its definition is deleted.',
        facts: [['Id', provider.id]],
        yes: 'Yes, remove it',
      };
    },
    async apply({ rooms }, tx, by, given) {
      await rooms.connect.removeProvider(tx, by, given.provider);
      return { provider: given.provider };
    },
  }),
  'provider.client': change({
    schema: z.strictObject({ provider: nameSchema, client_id: z.string(), secret: z.boolean(), held: z.string() }),
    async tell({ rooms }, given) {
      const organization = rooms.organization.id;
      const provider = await rooms.connect.provider(organization, given.provider);
      const replaces = await rooms.connect.hasClient(organization, provider.id);
      return {
        title: `Sign in at ${provider.name} as the client ${given.client_id}?`,
        sentence: `Accounts at ${provider.name} are connected through this OAuth client from now on.`,
        facts: [
          ['Provider', provider.id],
          ['Client', `${given.client_id}, ${given.secret ? 'with' : 'without'} a secret`],
          ['Signs in at', endpointsOf(provider.auth).join(', ')],
        ],
        ...(replaces
          ? {
              warning:
                'It takes the place of the client that is stored now: what was connected through that one has to be connected again.',
            }
          : {}),
        yes: 'Yes, use it',
      };
    },
    prepare: ({ rooms }, by, given) => rooms.connect.registerClient(by, given.provider, given.held),
    apply: async (_context, _tx, _by, given) => ({ provider: given.provider }),
  }),
  'key.add': change({
    schema: z.strictObject({}),
    async tell() {
      return {
        title: 'Add a master key?',
        sentence: 'A new key is written to the key file and used from now on. Older keys stay until everything is wrapped anew.',
        facts: [],
        yes: 'Yes, add a key',
      };
    },
    apply: ({ rooms }, tx, by) => rooms.applyKeys.add(tx, by),
  }),
  'key.rotate': change({
    schema: rotation,
    async tell(_, given) {
      return {
        title: given.compromised ? 'Replace every key?' : 'Wrap everything with the newest master key?',
        sentence: given.compromised
          ? 'Every stored secret is sealed again under new keys. Afterwards you are shown what to replace at the providers.'
          : 'Every data key is wrapped with the newest master key. The secrets themselves are not touched, and nothing stops meanwhile.',
        facts: [],
        yes: 'Yes, begin',
      };
    },
    apply: ({ rooms }, tx, by, given) => rooms.applyKeys.rotate(tx, by, given),
  }),
  'invitation.add': change({
    schema: schemas.newInvitation,
    async tell({ rooms }, given) {
      return {
        title: `Invite ${given.email}?`,
        sentence: `Whoever opens the link can make an account at ${rooms.organization.name}, within seven days.`,
        facts: [
          ['Person', given.email],
          ['As', given.role],
        ],
        ...(given.role === 'member' ? {} : { warning: 'They will be able to change what everybody here may do.' }),
        yes: 'Yes, invite them',
      };
    },
    async apply({ rooms }, tx, by, { email, role, token_sha256 }) {
      const invited = await rooms.identity.invite(tx, by, { email, role, tokenHash: token_sha256 });
      return { invitation: invited.id };
    },
  }),
  'client.add': change({
    schema: schemas.newClient,
    async tell(_, given) {
      return {
        title: `Register the OAuth client ${given.name}?`,
        sentence: given.grant_types.includes('client_credentials')
          ? 'It will be able to have tokens for itself, and to ask people for theirs if it has a redirect URI.'
          : 'It will be able to ask people to sign in to it, and for tokens in their name.',
        facts: clientFacts(given),
        yes: 'Yes, register it',
      };
    },
    apply: async ({ rooms }, tx, by, given) => ({ client: await rooms.issuer.clients.add(tx, by, clientDraft(given)) }),
  }),
  'client.secret': change({
    schema: schemas.newClientSecret.extend({ client: z.string() }),
    async tell({ rooms }, given) {
      const client = await rooms.issuer.clients.find(rooms.organization.id, given.client);
      if (client === undefined) throw new Fault('client_unknown');
      return {
        title: `Give the client ${client.name} another secret?`,
        sentence: 'Whoever holds the new secret can act as this client. The secrets it has go on until they are ended.',
        facts: [
          ['Client', client.id],
          ['Secrets it has', String(client.secrets.length)],
          ['Good until', given.expires_at === undefined ? 'it is ended' : timeText(given.expires_at)],
        ],
        yes: 'Yes, add it',
      };
    },
    async apply({ rooms }, tx, by, given) {
      const secret = { hash: given.secret_sha256, expiresAt: given.expires_at };
      return { client: given.client, secret: await rooms.issuer.clients.addSecret(tx, by, given.client, secret) };
    },
  }),
  'lives.change': change({
    schema: livesSchema,
    async tell(_, given) {
      const set = Object.entries(given).map(([name, seconds]) => [name, `${seconds} seconds`] as const);
      return {
        title: 'Change how long tokens live?',
        sentence:
          'What is issued from now on lives so long; what is not named here lives as usual. Clients with lives of their own keep them.',
        facts: set.length === 0 ? [['All', 'as usual']] : set,
        yes: 'Yes, change it',
      };
    },
    async apply({ rooms }, tx, by, given) {
      await rooms.issuer.lifetimes.change(tx, by, given);
      return {};
    },
  }),
  'details_type.add': change({
    schema: schemas.detailsType,
    async tell(_, given) {
      return {
        title: 'Register a type of authorization details?',
        sentence: `Clients that are registered for it will be able to ask people whether they may ${given.tells}.`,
        facts: [
          ['Type', given.type],
          ...Object.entries(given.fields).map(([name, { kind, tells }]) => [name, `${tells} (${kind})`] as const),
        ],
        yes: 'Yes, register it',
      };
    },
    apply: async ({ rooms }, tx, by, given) => ({ type: await rooms.issuer.detailsTypes.add(tx, by, given) }),
  }),
  'resource.add': change({
    schema: schemas.newResource,
    async tell(_, given) {
      return {
        title: `Register the resource ${given.name}?`,
        sentence: given.open
          ? 'Every client will be able to ask people for tokens for it; each person is told what its scopes mean, in the words below.'
          : 'Clients that are registered for it will get tokens of this form; people are told what its scopes mean, in the words below.',
        facts: resourceFacts(given),
        yes: 'Yes, register it',
      };
    },
    apply: async ({ rooms }, tx, by, given) => ({ resource: await rooms.issuer.resources.add(tx, by, resourceDraft(given)) }),
  }),
  'resource.change': change({
    schema: schemas.changedResource.extend({ resource: z.string(), identifier: z.string() }),
    async tell({ rooms }, { resource, version: _, ...given }) {
      const { name } = await rooms.issuer.resources.find(rooms.organization.id, resource);
      return {
        title: `Change the resource ${name}?`,
        sentence: 'This is what holds afterwards. Tokens that are out stay as they are until they end.',
        facts: resourceFacts(given),
        yes: 'Yes, change it',
      };
    },
    async apply({ rooms }, tx, by, { resource, version, ...given }) {
      return { resource: await rooms.issuer.resources.change(tx, by, resource, version, resourceDraft(given)) };
    },
  }),
  'trust.add': change({
    schema: schemas.newTrust,
    async tell({ rooms }, given) {
      const user = await trustedUser(rooms, given.user);
      const client = await rooms.issuer.clients.find(rooms.organization.id, given.client);
      if (client === undefined) throw new Fault('client_unknown');
      return {
        title: `Trust ${given.issuer}?`,
        sentence: `Whoever holds a token of that issuer for one of these subjects gets access tokens of the client ${client.name}.`,
        facts: [
          ['Issuer', given.issuer],
          ['Client', client.id],
          ['In the name of', user?.email ?? 'the client itself'],
          ['Subjects', given.subjects.join(', ')],
          ['Keys', given.jwks === undefined ? (given.jwks_uri ?? 'from its discovery document') : `${given.jwks.length}, given here`],
          ...Object.entries(given.claims).map(([name, value]) => [`Claim ${name}`, value] as const),
        ],
        ...(user === undefined ? {} : { warning: `They act as ${user.email}, who is not asked.` }),
        yes: 'Yes, trust it',
      };
    },
    async prepare({ rooms }, by, given) {
      const draft = await trustDraft(rooms, by, given);
      return (tx) => rooms.issuer.trustedIssuers.add(tx, by, draft);
    },
    apply: async (_context, _tx, _by, given) => ({ issuer: given.issuer }),
  }),
  'registration_token.add': change({
    schema: schemas.newRegistrationToken,
    async tell(_, given) {
      return {
        title: `Make the registration token ${given.name}?`,
        sentence:
          'Whoever holds it can register OAuth clients that ask people to sign in to them. People are still asked before a client gets anything.',
        facts: [
          ['Name', given.name],
          ['Clients', given.uses === undefined ? 'as many as it likes' : String(given.uses)],
          ['Until', given.expires_at === undefined ? 'you end it' : timeText(given.expires_at)],
        ],
        yes: 'Yes, make it',
      };
    },
    apply: async ({ rooms }, tx, by, given) => ({
      registration_token: await rooms.issuer.registrationTokens.add(tx, by, tokenDraft(given)),
    }),
  }),
  'signing_key.import': change({
    schema: schemas.importedKey,
    async tell(_, given) {
      return {
        title: 'Publish a key of an earlier system?',
        sentence:
          'Resource servers that read the key set will take tokens signed with it. Here it signs nothing, and nothing it signed counts.',
        facts: [
          ['Name of the key', given.kid],
          ['Kind', String(given.public_jwk.kty)],
          ['Published until', given.retires_at === undefined ? 'it is removed' : timeText(given.retires_at)],
        ],
        warning: 'Whoever holds the private half can make tokens that those servers believe.',
        yes: 'Yes, publish it',
      };
    },
    async apply({ rooms }, tx, by, given) {
      await rooms.issuer.importedKeys.add(tx, by, importedKeyDraft(given));
      return { kid: given.kid };
    },
  }),
  'signing_key.rotate': change({
    schema: schemas.newSigningKey,
    async tell(_, given) {
      return {
        title: 'Make the next key that signs tokens?',
        sentence: 'It is published at once and signs a little later. Tokens of the key before it stay good for as long as they live.',
        facts: [['Algorithm', given.algorithm]],
        yes: 'Yes, make it',
      };
    },
    prepare: ({ rooms }, by, given) => rooms.issuer.nextSigningKey(by, given.algorithm),
    apply: async (_context, _tx, _by, given) => ({ algorithm: given.algorithm }),
  }),
  'upstream.add': change({
    schema: schemas.newUpstream.omit({ client_secret: true, apple_key: true, scopes: true }).extend({ held: z.string() }),
    async tell({ rooms }, given) {
      const standing = await rooms.signin.upstreams.find(rooms.organization.id, given.name);
      return {
        title: `Let people sign in through ${given.label ?? given.name}?`,
        sentence: 'Whoever it says is one of your people is signed in as them, with everything they may do.',
        facts: [...toldUpstream(given)],
        ...(standing === undefined
          ? {}
          : { warning: `It takes the place of the client and the settings of ${given.name} as they are now. What is linked stays.` }),
        yes: 'Yes, let them',
      };
    },
    prepare: ({ rooms }, by, given) => rooms.signin.upstreams.keep(by, given.held),
    apply: async (_context, _tx, _by, given) => ({ upstream: given.name }),
  }),
} satisfies { readonly [K in ChangeKind]: unknown };

type Rows = typeof changes;
export type ChangeOf<K extends ChangeKind> = Rows[K] extends ChangeRow<infer T> ? T : never;

/** Words and effect of confirmations, one row per kind. */
export interface Changes {
  /** Parks a change that this row can later tell and apply. */
  ask<K extends ChangeKind>(by: Principal, kind: K, given: ChangeOf<K>): ReturnType<Rooms['policy']['ask']>;
  tell(kind: ChangeKind, given: unknown): Promise<Told>;
  /** Opens what the change needs; the returned step applies it in the transaction that spends the confirmation. */
  prepare(by: Principal, kind: ChangeKind, given: unknown): Promise<(tx: Writing) => Promise<Result>>;
}

export function createChanges(context: Context): Changes {
  const rowOf = (kind: ChangeKind) => changes[kind] as ChangeRow<unknown>;
  return Object.freeze({
    ask: (by: Principal, kind: ChangeKind, given: unknown) =>
      context.rooms.policy.ask(by, kind, JSON.parse(JSON.stringify(given)) as Record<string, unknown>),
    tell: (kind: ChangeKind, given: unknown) => rowOf(kind).tell(context, rowOf(kind).schema.parse(given)),
    async prepare(by: Principal, kind: ChangeKind, given: unknown) {
      const row = rowOf(kind);
      const parsed = row.schema.parse(given);
      const prepared = await row.prepare?.(context, by, parsed);
      return async (tx: Writing) => {
        await prepared?.(tx);
        return row.apply(context, tx, by, parsed);
      };
    },
  });
}

async function notOffered(): Promise<never> {
  throw new Fault('invalid_request', { detail: 'This kind of change is not part of this version' });
}

async function askedAgent(look: Lookups, agent: AgentId | undefined): Promise<string> {
  return agent === undefined ? 'every confirmed agent of yours' : ((await look.handle(agent)) ?? agent);
}

async function askedTarget({ look, rooms }: Context, given: z.infer<typeof target>): Promise<string> {
  if (given.kind === 'provider') {
    return `every account at ${(await rooms.connect.provider(rooms.organization.id, given.id)).name}`;
  }
  const names = await look.names(given.id);
  return names === undefined ? given.id : `${names.provider}/${names.name}`;
}

/** What the provider calls the account, where it told. */
async function accountOf({ rooms }: Context, id: ConnectionId): Promise<string> {
  const found = await rooms.connect.connection(rooms.organization.id, id);
  return found === undefined ? '' : accountLabel(found.account);
}

function permissionFacts(given: PermissionChange, who: string, what: string): Told['facts'] {
  return [
    ['Agent', who],
    ['Account', what],
    ['May', printReach(given.reach).replaceAll(',', ', ')],
    ['Until', given.expires_at === undefined ? 'you end it' : timeText(given.expires_at)],
    ...(given.level === undefined ? [] : ([['Only', 'in a separated run']] as const)),
    ...(given.pass_credential ? ([['Own credential', 'the agent may send a credential of its own to this host']] as const) : []),
  ];
}

const classWords: Readonly<Record<Reach['classes'][number], string>> = {
  read: 'read',
  write: 'create and change things',
  delete: 'delete things',
  'message-a-person': 'send messages to people',
  'move-money': 'move money',
  administer: 'change settings and members',
  'mint-credential': 'create credentials',
};

/** A reach as the end of "it will be able to …". */
export function reachSentence(reach: Reach): string {
  const parts = [
    ...(reach.everything ? ['do everything except create credentials'] : []),
    ...reach.classes.map((name) => classWords[name]),
    ...(reach.operations.length === 0 ? [] : [`call ${reach.operations.join(', ')}`]),
    ...reach.patterns.map(({ methods, path }) => `send ${methods.length === 0 ? 'any request' : methods.join(' or ')} to ${path}`),
  ];
  const last = parts.pop() ?? 'do nothing';
  return parts.length === 0 ? last : `${parts.join(', ')} and ${last}`;
}

function providerFacts(provider: Provider): Told['facts'] {
  return [
    ['Hosts', provider.hosts.map(hostText).join(', ')],
    ['Signs in at', endpointsOf(provider.auth).join(', ') || 'nowhere: it takes a key'],
    ['Operations', String(provider.operations.length)],
  ];
}

function hostText(entry: Provider['hosts'][number]): string {
  const { host, port, path = '' } = entry;
  return `${host}${port === 443 ? '' : `:${port}`}${path}${isTenant(entry) ? ' (each connection: its own names only)' : ''}`;
}

function agentFacts(agent: Awaited<ReturnType<Lookups['agent']>>): Told['facts'] {
  return [
    ['Agent', agent.handle],
    ['Key fingerprint', agent.thumbprint],
    ['Registered', timeText(agent.createdAt)],
  ];
}

function endpointsOf(auth: readonly { readonly kind: string }[]): string[] {
  const urls = auth.flatMap((way) => Object.entries(way).flatMap(([name, value]) => (name.endsWith('_endpoint') ? [String(value)] : [])));
  return [...new Set(urls.filter((url) => URL.canParse(url)).map((url) => new URL(url).host))];
}

function clientFacts(given: NewClient): Told['facts'] {
  const lists = [
    ['Redirect URIs', given.redirect_uris],
    ['Grant types', given.grant_types],
    ['Scopes', given.scopes],
    ['Resources', given.resources],
    ['Authorization details', given.authorization_details_types],
    ['Server of', given.protects],
    ['Its sign-out may lead to', given.post_logout_redirect_uris],
    ['Hears of sign-outs at', [given.backchannel_logout_uri, given.frontchannel_logout_uri].filter((uri) => uri !== undefined)],
    ['Lives', Object.entries(given.lives).map(([name, seconds]) => `${name}: ${seconds} seconds`)],
  ] as const;
  return [
    ['Name', given.name],
    ['Proves itself by', given.authentication],
    ...(given.tls_client_certificate_bound_access_tokens ? [['Tokens', 'bound to its certificate'] as const] : []),
    ...(given.dpop_bound_access_tokens ? [['Tokens', 'bound to its key by DPoP'] as const] : []),
    ...lists.flatMap(([label, list]) => (list.length === 0 ? [] : [[label, list.join(', ')] as const])),
  ];
}

function resourceFacts({ identifier, name, scopes, token_format, signing, open }: NewResource): Told['facts'] {
  return [
    ['Identifier', identifier],
    ['Name', name],
    ['Tokens', token_format === 'opaque' ? 'opaque: it asks here what each stands for' : `JWT, signed with ${signing}`],
    ['Who may ask for it', open ? 'every client' : 'clients that are registered for it'],
    ...scopes.map((scope) => [`Scope ${scope.name}`, scope.tells] as const),
  ];
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
