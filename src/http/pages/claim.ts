import type { Agent, ClaimView } from '#identity';
import { Fault, isFault } from '#kernel';
import type { Confirmation } from '#policy';
import type { Session } from '#signin';
import { mayAnswer, owns } from '../rights.ts';
import { html, type Markup } from './html.ts';
import { command, facts, field, note, passwordAgain, tokenField, when } from './layout.ts';
import { mustProve, type PageAnswer, type PageKit, type PageRequest, type PageRoute, proveAgain, sentenceOf, text } from './page.ts';

interface Shown {
  readonly code?: string;
  readonly problem?: string;
  readonly passwordError?: string;
  readonly status?: number;
}

/** A person types the code an agent's terminal shows; the terminal then accepts (SECURITY 22). */
export function claimPages(kit: PageKit): readonly PageRoute[] {
  return [
    { method: 'GET', path: '/claim', needs: 'session', handle: async (request) => form(kit, request, {}) },
    { method: 'POST', path: '/claim', needs: 'session', handle: (request) => typeCode(kit, request) },
    { method: 'GET', path: '/claim/:agent', needs: 'session', handle: (request) => stand(kit, request) },
    {
      method: 'POST',
      path: '/claim/:agent',
      needs: 'session',
      async handle({ session, params }) {
        const agent = await kit.look.agent(params.agent ?? '');
        if (!owns(session.user, agent)) throw new Fault('agent_unknown');
        const asked =
          (await askedInTerminal(kit, session, agent)) ?? (await kit.changes.ask(session.principal, 'agent.confirm', { agent: agent.id }));
        return { kind: 'go', to: `/confirm/${asked.id}` };
      },
    },
  ];
}

/** The question that a terminal already waits with: its answer ends that wait, the answer to another would not. */
async function askedInTerminal(kit: PageKit, session: Session, agent: Agent): Promise<Confirmation | undefined> {
  const { policy, organization } = kit.rooms;
  const open = await policy.confirmations(organization.id, { status: 'open', limit: 100 });
  return open.items.find((one) => one.kind === 'agent.confirm' && one.change.agent === agent.id && mayAnswer(session.user, one));
}

async function typeCode(kit: PageKit, request: PageRequest<Session>): Promise<PageAnswer> {
  const code = text(request.form, 'code');
  const proved = await proveAgain(kit, request);
  if (proved.kind === 'not_proved') return form(kit, request, { code, passwordError: proved.error, status: 403 });
  try {
    return typed(kit, await kit.rooms.identity.typeClaim(proved.session.user, code), proved.session);
  } catch (error) {
    const { sentence, status } = sentenceOf(error);
    return form(kit, request, { problem: sentence, status });
  }
}

function form(kit: PageKit, request: PageRequest<Session>, shown: Shown): PageAnswer {
  const stale = mustProve(kit, request.session);
  return {
    kind: 'page',
    status: shown.status ?? 200,
    title: 'Claim an agent',
    body: html`<h1>Claim an agent</h1>
<p class="lead">Type the code that the agent's terminal shows. Only do this if you started that terminal yourself.</p>
${shown.problem !== undefined && note('bad', shown.problem)}
<form class="card" method="post" action="${kit.base}/claim">${tokenField(request.token)}
${field({ name: 'code', label: 'Code', value: shown.code, code: true, autofocus: shown.passwordError === undefined, help: 'It is good for five minutes.' })}
${passwordAgain(stale, shown.passwordError)}
<div class="actions"><button>Look it up</button></div></form>
<p class="soft small">Claiming gives an agent no access to anything. Somebody sent you a code? Do not type it.</p>`,
  };
}

function typed(kit: PageKit, view: ClaimView, session: Session): PageAnswer {
  const { agent, host, address, at } = view;
  return {
    kind: 'page',
    title: `Claim ${agent.handle}`,
    body: html`<h1>Is this your terminal?</h1>
<p class="lead">It has to show the same agent and the same key, and to run on this machine. Then answer <strong>yes</strong> there. It names you as <strong>${session.user.email}</strong>.</p>
<div class="card">${facts([
      ['Agent', agent.handle],
      ['Key fingerprint', html`<span class="mono">${agent.thumbprint}</span>`],
      ['Machine', host],
      ['Address', address],
      ['Asked', when(at)],
    ])}</div>
${note('warn', 'If anything differs, answer no in the terminal, or do nothing: the claim ends by itself.')}
<p><a class="button" href="${kit.base}/claim/${agent.id}">I answered in the terminal</a></p>`,
  };
}

/** Where a claim stands, for the person who typed its code and for nobody else. */
async function stand(kit: PageKit, request: PageRequest<Session>): Promise<PageAnswer> {
  const { session, params } = request;
  const agent = await kit.look.agent(params.agent ?? '').catch((error: unknown) => {
    throw isFault(error, 'agent_unknown') ? nothingWaits() : error;
  });
  if (owns(session.user, agent)) return { kind: 'page', title: agent.handle, body: claimed(kit, agent, request.token) };
  const state = await kit.rooms.identity.claimState(agent);
  if (state.kind !== 'typed' || state.by.id !== session.user.id) throw nothingWaits();
  return {
    kind: 'page',
    title: `Claim ${agent.handle}`,
    refresh: { seconds: 3 },
    body: html`<h1>Waiting for the terminal</h1><p class="lead">Answer there whether <strong>${session.user.email}</strong> may claim ${agent.handle}. This page follows by itself.</p>`,
  };
}

/** The same for a claim that ended, one of somebody else, and an agent that is not there. */
function nothingWaits(): Fault {
  return new Fault('link_ended', {
    detail: 'No claim of yours waits here: the terminal said no, or the five minutes are over',
    hint: 'start again there: gatehouse init',
  });
}

function claimed(kit: PageKit, agent: Agent, token: string): Markup {
  if (agent.status !== 'claimed') {
    return html`<h1>${agent.handle} is one of your agents</h1><p class="lead">Say what it may use:</p>${command(`gatehouse policy allow ${agent.handle} <provider> read`)}<p><a href="${kit.base}/">See everything</a></p>`;
  }
  return html`<h1>You claimed ${agent.handle}</h1>
<p class="lead">One thing is left: say that it is yours. Until then it can do nothing.</p>
<form class="card" method="post" action="${kit.base}/claim/${agent.id}">${tokenField(token)}
${facts([['Key fingerprint', html`<span class="mono">${agent.thumbprint}</span>`]])}
<div class="actions"><button>This is my agent</button></div></form>`;
}
