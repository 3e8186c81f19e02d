import { parseReach, printReach, type Reach } from '#api';
import { accountLabel, type Connection, type Flow, type Provider, rests } from '#connect';
import type { Agent } from '#identity';
import { isFault } from '#kernel';
import type { Session } from '#signin';
import { owns } from '../rights.ts';
import { mineBox } from './confirm.ts';
import { html, type Markup } from './html.ts';
import { command, facts, field, note, passwordAgain, tokenField } from './layout.ts';
import { type Form, type PageKit, type Proof, text, texts } from './page.ts';

/** An agent that may be given something, and what `--allow` proposed for it. */
export interface Offered {
  readonly agent: Agent;
  readonly proposal: string | undefined;
}

export interface Chosen {
  readonly agent: Agent;
  readonly reach: Reach;
  /** The person said apart that this agent is theirs (SECURITY 22). */
  readonly mine: boolean;
}

/** What the form said. `problem` sends it back; what was ticked stays ticked. */
export interface Choices {
  readonly form: Form;
  readonly chosen: readonly Chosen[];
  readonly expiresAt: number | undefined;
  readonly problem?: string;
  readonly passwordError?: string;
}

const plainReaches = [
  ['none', 'Nothing'],
  ['read', 'Read only'],
  ['read,write', 'Read and write'],
  ['everything', 'Everything, except creating credentials'],
  ['custom', 'Only what I tick below'],
] as const;

const hour = 3_600_000;
const lives = [
  ['', 'I end it', undefined],
  ['1h', 'One hour from now', hour],
  ['1d', 'One day from now', 24 * hour],
  ['7d', 'Seven days from now', 7 * 24 * hour],
  ['30d', 'Thirty days from now', 30 * 24 * hour],
] as const;

/** The person's own agents that were claimed; those that were proposed come first. */
export async function chooseFrom(kit: PageKit, session: Session, proposals: Flow['allow']): Promise<readonly Offered[]> {
  const { items } = await kit.rooms.identity.agents(kit.rooms.organization.id, { limit: 200 });
  const own = items.filter((agent) => owns(session.user, agent) && (agent.status === 'active' || agent.status === 'claimed'));
  const offered = own.map((agent) => ({
    agent,
    proposal: proposals.find((proposed) => isProposed(agent, proposed.agent))?.allow,
  }));
  return offered.sort((a, b) => Number(b.proposal !== undefined) - Number(a.proposal !== undefined)).slice(0, 50);
}

/** Reads the form against what was offered: nothing else can be chosen. */
export function choicesOf(form: Form, offered: readonly Offered[], provider: Provider, now: number): Choices {
  const life = lives.find(([value]) => value === text(form, 'until'))?.[2];
  const expiresAt = life === undefined ? undefined : now + life;
  const chosen: Chosen[] = [];
  for (const { agent } of offered) {
    const reach = reachOf(form, agent, provider);
    if (reach === 'none') continue;
    if (typeof reach === 'string') return { form, chosen: [], expiresAt, problem: `${agent.handle}: ${reach}` };
    const mine = text(form, `mine_${agent.id}`) === 'yes';
    if (agent.status === 'claimed' && !mine) {
      return { form, chosen: [], expiresAt, problem: `Say first that ${agent.handle} is your agent, or leave it at nothing.` };
    }
    chosen.push({ agent, reach, mine });
  }
  return { form, chosen, expiresAt };
}

/** The reach, `none`, or what is wrong with it. */
function reachOf(form: Form, agent: Agent, provider: Provider): Reach | string {
  const picked = text(form, `reach_${agent.id}`);
  if (picked === '' || picked === 'none') return 'none';
  const operations = texts(form, `op_${agent.id}`).filter((id) => provider.operations.some((known) => known.id === id));
  const more = text(form, `more_${agent.id}`);
  const parts = [picked === 'custom' ? '' : picked, ...operations.map((id) => `op:${id}`), picked === 'custom' ? more : ''].filter(
    (part) => part !== '',
  );
  if (parts.length === 0) return 'Tick at least one operation, or choose nothing.';
  try {
    return parseReach(parts.join(','));
  } catch (error) {
    if (isFault(error, 'invalid_request')) return 'That is not understood. Write for example: read,GET /repos/**';
    throw error;
  }
}

/** What the page asks about. */
export interface Connected {
  readonly flow: Flow;
  readonly provider: Provider;
  readonly connection: Connection;
}

/** All of it, or nothing of it: where the connection rests, the yes to it as well (SECURITY 4). */
export async function giveChosen(kit: PageKit, session: Session, { flow, connection }: Connected, choices: Choices): Promise<void> {
  const { policy, identity, connect } = kit.rooms;
  const by = session.principal;
  await kit.rooms.transact(async (tx) => {
    if (rests(connection)) await connect.confirm(tx, by, { connection: connection.id, flow: flow.id });
    for (const { agent, reach, mine } of choices.chosen) {
      if (mine && agent.status === 'claimed') await identity.confirmAgent(tx, by, agent.id);
      await policy.give(tx, by, {
        effect: 'allow',
        agent: agent.id,
        owner: undefined,
        target: { kind: 'connection', id: connection.id },
        reach,
        level: undefined,
        passCredential: false,
        expiresAt: choices.expiresAt,
      });
    }
  });
}

interface AllowForm extends Connected {
  readonly kit: PageKit;
  readonly token: string;
  readonly stale: Proof | false;
  readonly offered: readonly Offered[];
  readonly told: Choices | undefined;
}

export function titleOf({ provider, connection }: Connected): string {
  return rests(connection) ? `Use this account of ${provider.name}?` : `${provider.name} is connected`;
}

export function allowForm(shown: AllowForm): Markup {
  const { connection, offered, told } = shown;
  const account = accountLabel(connection.account);
  return html`<h1>${titleOf(shown)}</h1>
${facts([
  ['Kept as', `${connection.provider}/${connection.name}`],
  ...(account === '' ? [] : ([['Account', account]] as const)),
  ...(connection.scopes.length === 0 ? [] : ([['Granted', connection.scopes.join(', ')]] as const)),
])}
${told?.problem !== undefined && note('bad', told.problem)}
${strangers(shown)}
${offered.length === 0 && !rests(connection) ? noAgents(shown) : choose(shown)}`;
}

/** Agents that `--allow` named and that are not among this person's own. */
function strangers({ flow, offered }: AllowForm): Markup | undefined {
  const unknown = flow.allow.filter(({ agent }) => !offered.some((one) => isProposed(one.agent, agent))).map(({ agent }) => agent);
  if (unknown.length === 0) return undefined;
  return note('warn', `It was asked for ${unknown.join(', ')} as well, but none of your agents is called that.`);
}

function isProposed({ handle, id }: Agent, name: string): boolean {
  return name === handle || name === id;
}

function noAgents({ kit, connection: { provider, name } }: AllowForm): Markup {
  const target = name === 'default' ? provider : `${provider}/${name}`;
  return html`<p class="lead">No agent may use it yet, because you have none.</p>
<div class="card"><p>Make one in your terminal, then say what it may do:</p>${command(`gatehouse init\ngatehouse policy allow default ${target} read`)}</div>
<p><a class="button" href="${kit.base}/done?what=connected">Done</a></p>`;
}

function choose(shown: AllowForm): Markup {
  const { kit, flow, connection, offered, told } = shown;
  const resting = rests(connection);
  const lead = [
    ...(resting ? ['Nobody can use it until you say that it was you who connected it.'] : []),
    ...(offered.length > 0 ? ['What may your agents use it for? Without an answer: nothing.'] : []),
  ];
  const nothing = html`<a class="button quiet" href="${kit.base}/done?what=connected">Nothing for now</a>`;
  return html`<p class="lead">${lead.join(' ')}</p>
<form class="card" method="post" action="${kit.base}/connect/${flow.id}/allow">${tokenField(shown.token)}
${offered.map((one) => agentChoice(shown, one))}
${offered.length > 0 && until(told)}
${passwordAgain(shown.stale, told?.passwordError)}
<div class="actions"><button>${resting ? 'Yes, I connected it' : 'Save'}</button>${!resting && nothing}</div></form>
${resting && html`<p class="soft small">If you did not, end it: <code>gatehouse logout ${connection.provider}/${connection.name}</code></p>`}`;
}

function until(told: Choices | undefined): Markup {
  const picked = told === undefined ? '' : text(told.form, 'until');
  return html`<div class="field"><label for="until">Until</label><select id="until" name="until">${lives.map(
    ([value, label]) => html`<option value="${value}"${value === picked && html` selected`}>${label}</option>`,
  )}</select></div>`;
}

function agentChoice(shown: AllowForm, { agent, proposal }: Offered): Markup {
  const form = shown.told?.form;
  const proposed = proposal === undefined ? undefined : normal(proposal);
  const picked = form === undefined ? (proposed ?? 'none') : text(form, `reach_${agent.id}`);
  const extra = proposed !== undefined && !plainReaches.some(([value]) => value === proposed);
  return html`<fieldset class="agent"><legend>${agent.handle}${agent.status === 'claimed' && html`<span class="badge warn">not yet confirmed</span>`}${proposal !== undefined && html`<span class="badge">asked for: ${proposal}</span>`}</legend>
<div class="field"><label for="reach_${agent.id}">May do</label><select id="reach_${agent.id}" name="reach_${agent.id}">${plainReaches.map(
    ([value, label]) => option(value, label, picked),
  )}${extra && option(proposed, `What was asked for: ${proposed}`, picked)}</select></div>
${operationChoice(shown, agent)}
${agent.status === 'claimed' && mineBox(`mine_${agent.id}`, agent.handle, agent.thumbprint)}</fieldset>`;
}

function option(value: string, label: string, picked: string): Markup {
  return html`<option value="${value}"${value === picked && html` selected`}>${label}</option>`;
}

function operationChoice({ provider, told }: AllowForm, agent: Agent): Markup {
  const ticked = told === undefined ? [] : texts(told.form, `op_${agent.id}`);
  const more = told === undefined ? '' : text(told.form, `more_${agent.id}`);
  const open = ticked.length > 0 || more !== '' || (told !== undefined && text(told.form, `reach_${agent.id}`) === 'custom');
  return html`<details${open && html` open`}><summary>Single operations</summary>
${
  provider.operations.length > 0 &&
  html`<div class="list" role="group" aria-label="Operations for ${agent.handle}">${provider.operations.map(
    ({ id, title, classes }) =>
      html`<label class="check"><input type="checkbox" name="op_${agent.id}[]" value="${id}"${ticked.includes(id) && html` checked`}><span>${title} <span class="soft small">${classes.join(', ')}</span></span></label>`,
  )}</div>`
}
${field({ name: `more_${agent.id}`, label: 'Or in words of your own', value: more, required: false, help: 'For example: GET /repos/**. Counts with “Only what I tick below”.' })}</details>`;
}

/** A proposal as it would be printed, so that `write,read` is found among the plain ones; undefined when it is not understood. */
function normal(proposal: string): string | undefined {
  try {
    return printReach(parseReach(proposal));
  } catch (error) {
    if (isFault(error)) return undefined;
    throw error;
  }
}
