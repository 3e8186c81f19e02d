import type { Session } from '#signin';

import { doneAt } from './done.ts';
import { html } from './html.ts';
import { facts, field, note, passwordAgain, tokenField, when } from './layout.ts';
import { mustProve, type PageAnswer, type PageKit, type PageRequest, type PageRoute, proveAgain, sentenceOf, text } from './page.ts';

interface Shown {
  readonly problem?: string;
  readonly status?: number;
}

/** Signing in a command line on another machine: the person types its code, sees where it is, and approves. */
export function devicePages(kit: PageKit): readonly PageRoute[] {
  return [
    { method: 'GET', path: '/device', needs: 'session', handle: async (request) => form(kit, request, {}) },
    { method: 'POST', path: '/device', needs: 'session', handle: (request) => look(kit, request, undefined) },
    {
      method: 'POST',
      path: '/device/approve',
      needs: 'session',
      async handle(request) {
        const proved = await proveAgain(kit, request);
        if (proved.kind === 'not_proved') return look(kit, request, proved.error);
        try {
          await kit.rooms.signin.approveCommandLine(proved.session, text(request.form, 'code'));
          return { kind: 'go', to: doneAt('command-line') };
        } catch (error) {
          const { sentence, status } = sentenceOf(error);
          return form(kit, request, { problem: sentence, status });
        }
      },
    },
  ];
}

function form(kit: PageKit, request: PageRequest<Session>, shown: Shown): PageAnswer {
  return {
    kind: 'page',
    status: shown.status ?? 200,
    title: 'Sign in a command line',
    body: html`<h1>Sign in a command line</h1>
<p class="lead">Type the code that <code>gatehouse login</code> shows in your terminal.</p>
${shown.problem !== undefined && note('bad', shown.problem)}
<form class="card" method="post" action="${kit.base}/device">${tokenField(request.token)}
${field({ name: 'code', label: 'Code', code: true, autofocus: true })}
<div class="actions"><button>Go on</button></div></form>
<p class="soft small">Somebody sent you a code? Do not type it: it would sign them in as you.</p>`,
  };
}

async function look(kit: PageKit, request: PageRequest<Session>, passwordError: string | undefined): Promise<PageAnswer> {
  const code = text(request.form, 'code');
  try {
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
  } catch (error) {
    const { sentence, status } = sentenceOf(error);
    return form(kit, request, { problem: sentence, status });
  }
}
