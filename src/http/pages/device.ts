import type { DeviceView } from '#issuer';
import type { Session } from '#signin';

import { doneAt } from './done.ts';
import { html, type Markup } from './html.ts';
import { facts, field, note, passwordAgain, tokenField, when } from './layout.ts';
import { mustProve, type PageAnswer, type PageKit, type PageRequest, type PageRoute, proveAgain, sentenceOf, text } from './page.ts';

interface Shown {
  readonly problem?: string;
  readonly status?: number;
  /** From `verification_uri_complete` (RFC 8628 §3.3.1): the person compares it with what the device shows. */
  readonly code?: string;
}

/**
 * A device, or a command line on another machine, shows a code; the person types it here, sees what waits and from where, and
 * answers. Which of the two it is shows in the code.
 */
export function devicePages(kit: PageKit): readonly PageRoute[] {
  return [
    {
      method: 'GET',
      path: '/device',
      needs: 'session',
      handle: async (request) => form(kit, request, { code: (request.query.get('user_code') ?? '').slice(0, 20) }),
    },
    { method: 'POST', path: '/device', needs: 'session', handle: (request) => typed(kit, request) },
    { method: 'POST', path: '/device/answer', needs: 'session', handle: (request) => answered(kit, request) },
    { method: 'POST', path: '/device/approve', needs: 'session', handle: (request) => approved(kit, request) },
  ];
}

function form(kit: PageKit, request: PageRequest<Session>, shown: Shown): PageAnswer {
  const given = shown.code !== undefined && shown.code !== '';
  return {
    kind: 'page',
    status: shown.status ?? 200,
    title: 'Let a device in',
    body: html`<h1>Let a device in</h1>
<p class="lead">${given ? 'Go on only if your device shows this very code.' : html`Type the code that your device shows, or <code>gatehouse login</code> in your terminal.`}</p>
${shown.problem !== undefined && note('bad', shown.problem)}
<form class="card" method="post" action="${kit.base}/device">${tokenField(request.token)}
${field({ name: 'code', label: 'Code', code: true, autofocus: true, value: shown.code })}
<div class="actions"><button>Go on</button></div></form>
<p class="soft small">Somebody sent you a code or a link? Do not go on: it would let them in as you.</p>`,
  };
}

async function typed(kit: PageKit, request: PageRequest<Session>): Promise<PageAnswer> {
  const { issuer, slug } = kit.rooms;
  const code = text(request.form, 'code');
  if (!issuer.devices.isCode(code)) return look(kit, request, undefined);
  return orForm(kit, request, async () =>
    ask(kit, request, await issuer.devices.type(await issuer.at(slug), request.session, code, request.incoming.address)),
  );
}

/** What went wrong is told above the field for the code. */
async function orForm(kit: PageKit, request: PageRequest<Session>, act: () => Promise<PageAnswer>): Promise<PageAnswer> {
  try {
    return await act();
  } catch (error) {
    const { sentence, status } = sentenceOf(error);
    return form(kit, request, { problem: sentence, status });
  }
}

/** A yes gives access, so it takes what every page that gives access takes (SECURITY 4). */
async function answered(kit: PageKit, request: PageRequest<Session>): Promise<PageAnswer> {
  const { issuer, slug } = kit.rooms;
  const transaction = text(request.form, 'transaction');
  return orForm(kit, request, async () => {
    const issuing = await issuer.at(slug);
    if (text(request.form, 'answer') !== 'yes') {
      await issuer.devices.answer(issuing, request.session, transaction, false);
      return { kind: 'go', to: doneAt('device-refused') };
    }
    const proved = await proveAgain(kit, request);
    if (proved.kind === 'not_proved') return ask(kit, request, await issuer.devices.view(request.session, transaction), proved.error);
    await issuer.devices.answer(issuing, proved.session, transaction, true);
    return { kind: 'go', to: doneAt('device') };
  });
}

function ask(kit: PageKit, { token, session, incoming }: PageRequest<Session>, view: DeviceView, error?: string): PageAnswer {
  const { transaction, client, scopes, resources, address, at } = view;
  const from = `${address} (${address === incoming.address ? 'your address, too' : 'not your address'})`;
  return {
    kind: 'page',
    status: error === undefined ? 200 : 403,
    title: `Let ${client.name} in?`,
    body: html`<h1>Let ${client.name} in?</h1>
<p class="lead">A device asks to act for you, as ${session.user.email}. Say yes only if it is in front of you, and you began this there.</p>
${note('warn', 'If somebody sent you the code or a link, or is asking you to hurry, say no: it would let them in as you.')}
<form class="card" method="post" action="${kit.base}/device/answer">${tokenField(token)}<input type="hidden" name="transaction" value="${transaction}">
${abilities(scopes)}
${facts([['Client', client.id], ['Asked from', from], ['Asked', when(at)], ...(resources.length === 0 ? [] : [['For', resources.join(', ')] as const])])}
${passwordAgain(mustProve(kit, session), error)}
<div class="actions"><button name="answer" value="yes">Yes, let it in</button><button class="quiet" name="answer" value="no" formnovalidate>No</button></div></form>
<p class="soft small">Not you? <a href="${kit.base}/signin?next=/device&amp;again=yes">Sign in as somebody else</a></p>`,
  };
}

function abilities(scopes: DeviceView['scopes']): Markup | undefined {
  if (scopes.length === 0) return undefined;
  return html`<p>It will be able to:</p>
<ul>${scopes.map(({ name, tells }) => html`<li>${tells} <code>${name}</code></li>`)}</ul>`;
}

async function approved(kit: PageKit, request: PageRequest<Session>): Promise<PageAnswer> {
  const proved = await proveAgain(kit, request);
  if (proved.kind === 'not_proved') return look(kit, request, proved.error);
  return orForm(kit, request, async () => {
    await kit.rooms.signin.approveCommandLine(proved.session, text(request.form, 'code'));
    return { kind: 'go', to: doneAt('command-line') };
  });
}

async function look(kit: PageKit, request: PageRequest<Session>, passwordError: string | undefined): Promise<PageAnswer> {
  const code = text(request.form, 'code');
  return orForm(kit, request, async () => {
    const { label, address, at } = await kit.rooms.signin.viewCommandLine(request.session.user, code);
    const stale = mustProve(kit, request.session);
    return {
      kind: 'page',
      status: passwordError === undefined ? 200 : 403,
      title: 'Sign in this command line?',
      body: html`<h1>Sign in this command line?</h1>
<p class="lead">It will be able to look at everything you see here and to start things. Whatever gives access still asks you in the browser.</p>
<form class="card" method="post" action="${kit.base}/device/approve">${tokenField(request.token)}<input type="hidden" name="code" value="${code}">
${facts([
  ['Machine', label],
  ['Address', address],
  ['Asked', when(at)],
])}
${passwordAgain(stale, passwordError)}
<div class="actions"><button>Yes, sign it in</button><a class="button quiet" href="${kit.base}/">No</a></div></form>`,
    };
  });
}
