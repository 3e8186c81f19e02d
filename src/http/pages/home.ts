import { printReach } from '#api';
import { events, type RecordedEvent } from '#audit';
import { accountLabel, type Connection } from '#connect';
import type { Agent } from '#identity';
import { Fault } from '#kernel';
import type { Permission } from '#policy';
import type { Session } from '#signin';
import { administers, mayAnswer } from '../rights.ts';
import { confirmationRows } from './confirm.ts';
import { html, type Markup } from './html.ts';
import { command, tokenField, when } from './layout.ts';
import { capital, type PageAnswer, type PageKit, type PageRequest, type PageRoute } from './page.ts';
import { requestRows } from './requests.ts';

/** What is connected, who acts, what waits, what happened. */
export function homePages(kit: PageKit): readonly PageRoute[] {
  return [
    { method: 'GET', path: '/', needs: 'session', handle: (request) => home(kit, request) },
    {
      method: 'POST',
      path: '/connections/:connection/accept',
      needs: 'session',
      async handle({ session, params }) {
        const { id, provider } = await kit.look.connection(session.principal, params.connection ?? '');
        const { digest } = await kit.rooms.connect.provider(kit.rooms.organization.id, provider);
        const confirmation = await kit.changes.ask(session.principal, 'provider.accept', { connection: id, provider, digest });
        return { kind: 'go', to: `/confirm/${confirmation.id}` };
      },
    },
    {
      method: 'POST',
      path: '/connections/:connection/confirm',
      needs: 'session',
      async handle({ session, params }) {
        const { id, flow } = await kit.look.connection(session.principal, params.connection ?? '');
        if (flow === undefined) throw new Fault('not_found');
        const confirmation = await kit.changes.ask(session.principal, 'connection.confirm', { made: [{ connection: id, flow }] });
        return { kind: 'go', to: `/confirm/${confirmation.id}` };
      },
    },
  ];
}

async function home(kit: PageKit, { session, token }: PageRequest<Session>): Promise<PageAnswer> {
  const { rooms } = kit;
  const organization = rooms.organization.id;
  const vaults = await rooms.identity.vaultsOf(session.principal);
  const [connections, agents, permissions, waiting, trail, asking] = await Promise.all([
    rooms.connect.connections(organization, vaults, { limit: 50 }),
    rooms.identity.agents(organization, { limit: 50 }),
    rooms.policy.list(organization, { limit: 200 }),
    rooms.policy.confirmations(organization, { status: 'open', limit: 50 }),
    rooms.audit.search(organization, { limit: 12, ...(administers(session.user) ? {} : { subject: `user:${session.user.id}` }) }),
    rooms.issuer.backchannel.waiting(session),
  ]);
  const open = waiting.items.filter((confirmation) => mayAnswer(session.user, confirmation));
  const questions = await confirmationRows(kit, open);
  const handles = new Map<string, string>(agents.items.map(({ id, handle }) => [id, handle]));
  return {
    kind: 'page',
    title: 'Home',
    wide: true,
    body: html`<h1>Hello, ${session.user.name}</h1>
<div class="grid">
${questions !== undefined && html`<section class="card full"><h2>Waiting for you <span class="count">${open.length}</span></h2>${questions}</section>`}
${asking.length > 0 && html`<section class="card full"><h2>Who asks for you <span class="count">${asking.length}</span></h2>${requestRows(kit, asking)}</section>`}
<section class="card"><h2>Connected accounts ${counted(connections)}</h2>${connectionRows(kit, token, connections.items)}</section>
<section class="card"><h2>Agents ${counted(agents)}</h2>${agentRows(kit, agents.items, await reaches(kit, permissions.items))}</section>
<section class="card full"><h2>What happened</h2>${eventRows(trail.events, handles)}</section>
</div>`,
  };
}

function counted(listing: { readonly items: readonly unknown[]; readonly next?: string }): Markup | undefined {
  if (listing.items.length === 0) return undefined;
  return html`<span class="count">${listing.items.length}${listing.next !== undefined && ' and more'}</span>`;
}

const connectionBadges = {
  connected: ['good', 'connected'],
  interrupted: ['warn', 'refreshing again'],
  needs_attention: ['bad', 'needs you'],
  disconnected: ['', 'disconnected'],
} as const;

function connectionRows(kit: PageKit, token: string, connections: readonly Connection[]): Markup {
  if (connections.length === 0) {
    return html`<p>No account is connected yet. Connect the first one from your terminal:</p>${command('gatehouse login github')}<p class="soft small">Many other services work, see <code>gatehouse provider list</code></p>`;
  }
  return html`<ul class="rows">${connections.map((connection) => {
    const [tone, words] = connectionBadges[connection.status.kind];
    const account = accountLabel(connection.account);
    const again = attention(kit, token, connection);
    return html`<li><span class="name">${connection.provider}/${connection.name}</span>${connection.isDefault && html`<span class="badge">default</span>`}${connection.shared && html`<span class="badge">shared</span>`}<span class="badge ${tone} end">${words}</span><div class="below">${account || 'connected'} since ${when(connection.createdAt)}.${again}</div></li>`;
  })}</ul>`;
}

/** What its owner can do about a connection that needs them. */
function attention({ base }: PageKit, token: string, { id, provider, name, status }: Connection): Markup | undefined {
  if (status.kind !== 'needs_attention') return undefined;
  if (status.reason === 'provider_changed') {
    return html`<form method="post" action="${base}/connections/${id}/accept">${tokenField(token)}The provider changed. <button class="plain">See what changed</button></form>`;
  }
  if (status.reason === 'unconfirmed') {
    return html`<form method="post" action="${base}/connections/${id}/confirm">${tokenField(token)}It rests. <button class="plain">Say whether to use it</button></form>`;
  }
  return html` Connect it again: <code>gatehouse login ${provider}${name === 'default' ? '' : ` --connection ${name}`} --force</code>`;
}

const agentBadges = {
  registered: ['', 'not claimed'],
  claimed: ['warn', 'claimed, not confirmed'],
  active: ['good', 'active'],
  suspended: ['bad', 'suspended'],
  revoked: ['', 'revoked'],
} as const;

/** What each agent may do, and what every confirmed one may (under an empty key), in the words of `policy list`. */
async function reaches({ look }: PageKit, permissions: readonly Permission[]): Promise<ReadonlyMap<string, readonly string[]>> {
  const told = new Map<string, string[]>();
  for (const { agent = '', effect, target, reach } of permissions) {
    const names = target.kind === 'connection' ? await look.names(target.id) : undefined;
    const what = names === undefined ? target.id : `${names.provider}/${names.name}`;
    const line = `${effect === 'allow' ? 'may use' : 'may never use'} ${what}: ${printReach(reach).replaceAll(',', ', ')}`;
    told.set(agent, [...(told.get(agent) ?? []), line]);
  }
  return told;
}

function agentRows(kit: PageKit, agents: readonly Agent[], may: ReadonlyMap<string, readonly string[]>): Markup {
  if (agents.length === 0) {
    return html`<p>No agent yet. Make one, then run a program as that agent:</p>${command('gatehouse init\ngatehouse run -- python agent.py')}<p class="small">It shows a code? <a href="${kit.base}/claim">Claim it here.</a></p>`;
  }
  const all = may.get('') ?? [];
  return html`<ul class="rows">${agents.map((agent) => {
    const [tone, words] = agentBadges[agent.status];
    const lines = may.get(agent.id) ?? [];
    return html`<li><span class="name">${agent.handle}</span><span class="badge ${tone} end">${words}</span>${lines.map(
      (line) => html`<span class="below">${line}</span>`,
    )}${lines.length + all.length === 0 && agent.status === 'active' && html`<span class="below">may use nothing yet: <code>gatehouse policy allow ${agent.handle} &lt;provider&gt; read</code></span>`}<span class="below">key <span class="mono">${agent.thumbprint.slice(0, 16)}…</span>, since ${when(agent.createdAt)}</span></li>`;
  })}</ul>${all.length > 0 && html`<p class="small soft">Every confirmed agent of yours ${all.join('; ')}.</p>`}
<p class="small"><a href="${kit.base}/claim">Claim an agent</a></p>`;
}

function eventRows(trail: readonly RecordedEvent[], handles: ReadonlyMap<string, string>): Markup {
  if (trail.length === 0)
    return html`<p class="soft">Nothing yet. Everything that agents do is recorded here and in <code>gatehouse log</code>.</p>`;
  return html`<ul class="rows">${trail.map(
    (event) =>
      html`<li><span class="name">${capital(events[event.name].tells)}</span><span class="end soft small">${when(event.at)}</span><span class="below">${aboutEvent(event, handles)}</span></li>`,
  )}</ul><p class="soft small">All of it: <code>gatehouse log --follow</code></p>`;
}

const shown = [
  'agent',
  'handle',
  'method',
  'host',
  'path',
  'provider',
  'name',
  'kind',
  'program',
  'level',
  'outcome',
  'status',
  'reason',
  'code',
  'address',
] as const;

/** The fields that tell people most, in one line. */
function aboutEvent({ name, fields }: RecordedEvent, handles: ReadonlyMap<string, string>): string {
  const parts = shown.flatMap((key) => {
    const value = fields[key];
    return typeof value === 'string' || typeof value === 'number' ? [handles.get(String(value)) ?? String(value)] : [];
  });
  return parts.length === 0 ? name : `${name}: ${[...new Set(parts)].join(' ')}`;
}
