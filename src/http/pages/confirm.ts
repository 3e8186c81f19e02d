import { Fault, isFault, parseId } from '#kernel';
import type { Confirmation } from '#policy';
import type { Session } from '#signin';
import { mayAnswer, owns } from '../rights.ts';
import { doneAt } from './done.ts';
import { html, type Markup } from './html.ts';
import { facts, note, passwordAgain, tokenField, when } from './layout.ts';
import { mustProve, type PageAnswer, type PageKit, type PageRequest, type PageRoute, proveAgain, text } from './page.ts';

/** One change, named whole, and a person's yes or no (SECURITY 4). */
export function confirmPages(kit: PageKit): readonly PageRoute[] {
  const { policy, organization } = kit.rooms;
  return [
    {
      method: 'GET',
      path: '/confirm/:id',
      needs: 'session',
      handle: async (request) => show(kit, request, await asked(kit, request), undefined),
    },
    {
      method: 'POST',
      path: '/confirm/:id',
      needs: 'session',
      async handle(request) {
        const confirmation = await asked(kit, request);
        if (text(request.form, 'answer') !== 'yes') {
          await policy.answer(request.session.principal, request.session.id, confirmation.id, 'no', nothing);
          return { kind: 'go', to: doneAt('refused') };
        }
        const proved = await proveAgain(kit, request);
        if (proved.kind === 'not_proved') return show(kit, request, confirmation, proved.error);
        await say(kit, proved.session, confirmation, text(request.form, 'mine') === 'yes');
        return { kind: 'go', to: doneAt('confirmed') };
      },
    },
    {
      method: 'GET',
      path: '/confirmations',
      needs: 'session',
      async handle({ session }) {
        const open = await policy.confirmations(organization.id, { status: 'open', limit: 100 });
        const own = open.items.filter((confirmation) => mayAnswer(session.user, confirmation));
        return { kind: 'page', title: 'Waiting for you', body: list(await confirmationRows(kit, own)) };
      },
    },
  ];
}

async function nothing(): Promise<Readonly<Record<string, string>>> {
  return {};
}

/** Yes: the change, and the agent as one of theirs where they said so, in the transaction that spends the confirmation. */
async function say(kit: PageKit, session: Session, confirmation: Confirmation, mine: boolean): Promise<void> {
  const { principal } = session;
  const agent = await claimedAgent(kit, session, confirmation);
  const apply = await kit.changes.prepare(principal, confirmation.kind, confirmation.change);
  await kit.rooms.policy.answer(principal, session.id, confirmation.id, 'yes', async (tx) => {
    if (mine && agent !== undefined) await kit.rooms.identity.confirmAgent(tx, principal, agent.id);
    return apply(tx);
  });
}

/** @throws {Fault} `not_found` for a confirmation of somebody else */
async function asked(kit: PageKit, { params, session }: PageRequest<Session>): Promise<Confirmation> {
  const id = parseId('cnf', params.id ?? '');
  const found = id === undefined ? undefined : await kit.rooms.policy.confirmation(kit.rooms.organization.id, id);
  if (found === undefined || !mayAnswer(session.user, found)) throw new Fault('not_found');
  return found;
}

/** An agent of this person's that a permission is for and that they have not yet called theirs (SECURITY 22). */
async function claimedAgent(kit: PageKit, session: Session, { kind, change }: Confirmation) {
  if (kind !== 'permission.give' || typeof change.agent !== 'string') return undefined;
  const agent = await kit.look.agent(change.agent);
  return agent.status === 'claimed' && owns(session.user, agent) ? agent : undefined;
}

const endedWords: Readonly<Record<Exclude<Confirmation['status'], 'open'>, string>> = {
  confirmed: 'It was confirmed already.',
  refused: 'It was refused.',
  expired: 'Nobody answered in time, so nothing was changed.',
};

async function show(
  kit: PageKit,
  request: PageRequest<Session>,
  confirmation: Confirmation,
  error: string | undefined,
): Promise<PageAnswer> {
  if (confirmation.status !== 'open') {
    return {
      kind: 'page',
      status: 410,
      title: 'No longer open',
      body: html`<h1>This is no longer open</h1><p class="lead">${endedWords[confirmation.status]}</p><p><a href="${kit.base}/">See everything</a></p>`,
    };
  }
  const told = await kit.changes.tell(confirmation.kind, confirmation.change);
  const agent = await claimedAgent(kit, request.session, confirmation);
  const stale = mustProve(kit, request.session);
  return {
    kind: 'page',
    status: error === undefined ? 200 : 403,
    title: told.title,
    body: html`<h1>${told.title}</h1>
<p class="lead">${told.sentence}</p>
${told.warning !== undefined && note('warn', told.warning)}
<div class="card">${facts([...told.facts, ['Asked', when(confirmation.createdAt)], ['Open until', when(confirmation.expiresAt)]])}
${told.whole !== undefined && html`<details><summary>The whole definition</summary><pre><code>${told.whole}</code></pre></details>`}
<form method="post" action="${kit.base}/confirm/${confirmation.id}">${tokenField(request.token)}
${agent !== undefined && mineBox('mine', agent.handle, agent.thumbprint)}
${passwordAgain(stale, error)}
<div class="actions"><button name="answer" value="yes">${told.yes}</button><button class="quiet" name="answer" value="no" formnovalidate>No</button></div></form></div>
<p class="soft small">If you did not ask for this, say no.</p>`,
  };
}

/** "This is my agent", said apart from what the agent may do. */
export function mineBox(name: string, handle: string, fingerprint: string): Markup {
  return html`<div class="field"><label class="check"><input type="checkbox" name="${name}" value="yes"><span><strong>${handle} is my agent.</strong> You claimed it but have not yet said so. Its key is <span class="mono">${fingerprint}</span>.</span></label></div>`;
}

function list(rows: Markup | undefined): Markup {
  if (rows !== undefined) return html`<h1>Waiting for you</h1><div class="card">${rows}</div>`;
  return html`<h1>Nothing waits for you</h1><p class="soft">When a command asks for something that gives access, it prints a link, and the question shows up here.</p>`;
}

/** Open questions by their titles; undefined when there is none. */
export async function confirmationRows(kit: PageKit, open: readonly Confirmation[]): Promise<Markup | undefined> {
  if (open.length === 0) return undefined;
  const titles = await Promise.all(open.map(({ kind, change }) => kit.changes.tell(kind, change).then(({ title }) => title, gone)));
  return html`<ul class="rows">${open.map(
    ({ id, createdAt, expiresAt }, index) =>
      html`<li><a class="name" href="${kit.base}/confirm/${id}">${titles[index]}</a><span class="below">asked ${when(createdAt)}, open until ${when(expiresAt)}</span></li>`,
  )}</ul>`;
}

/** What the change was about has gone meanwhile. */
function gone(error: unknown): string {
  if (isFault(error)) return 'A change to something that is no longer there';
  throw error;
}
