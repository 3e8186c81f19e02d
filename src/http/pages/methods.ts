import { type Fault, isFault } from '#kernel';
import type { Session, SignInMethod } from '#signin';
import { html, type Markup } from './html.ts';
import { note, passwordAgain, tokenField, when } from './layout.ts';
import { mustProve, type PageAnswer, type PageKit, type PageRequest, type PageRoute, proveAgain, text, told } from './page.ts';
import { accountPath, depart } from './upstream.ts';

/** How a person signs in: what they have linked, and what they can link. */
export function methodPages(kit: PageKit): readonly PageRoute[] {
  const { upstreams } = kit.rooms.signin;
  return [
    { method: 'GET', path: accountPath, needs: 'session', handle: (request) => overview(kit, request, undefined) },
    {
      method: 'POST',
      path: `${accountPath}/link`,
      needs: 'session',
      handle: (request) =>
        proved(kit, request, { action: 'link', name: 'upstream', title: 'Link an account' }, (session) =>
          depart(kit, request, { upstream: text(request.form, 'upstream'), next: accountPath, again: false, link: session }),
        ),
    },
    {
      method: 'POST',
      path: `${accountPath}/unlink`,
      needs: 'session',
      handle: (request) =>
        proved(kit, request, { action: 'unlink', name: 'method', title: 'Unlink this account?' }, async (session) => {
          await upstreams.unlink(session, text(request.form, 'method'));
          return { kind: 'go', to: accountPath };
        }),
    },
  ];
}

interface Step {
  readonly action: 'link' | 'unlink';
  /** The field that says what it is about. */
  readonly name: string;
  readonly title: string;
}

/** A change of how somebody signs in takes proof that it is they, on a page of its own where the browser is not enough. */
async function proved(
  kit: PageKit,
  request: PageRequest<Session>,
  step: Step,
  work: (session: Session) => Promise<PageAnswer>,
): Promise<PageAnswer> {
  const proof = await proveAgain(kit, request);
  if (proof.kind === 'not_proved') return ask(kit, request, step, text(request.form, 'password') === '' ? undefined : proof.error);
  try {
    return await work(proof.session);
  } catch (error) {
    if (!isFault(error)) throw error;
    return overview(kit, request, error);
  }
}

function ask(
  kit: PageKit,
  { form, token, session }: PageRequest<Session>,
  { action, name, title }: Step,
  error: string | undefined,
): PageAnswer {
  return {
    kind: 'page',
    status: error === undefined ? 200 : 403,
    title,
    body: html`<h1>${title}</h1>
<form class="card" method="post" action="${kit.base}${accountPath}/${action}">${tokenField(token)}<input type="hidden" name="${name}" value="${text(form, name)}">
${passwordAgain(mustProve(kit, session), error)}
<div class="actions"><button>Go on</button><a class="button quiet" href="${kit.base}${accountPath}">Back</a></div></form>`,
  };
}

async function overview(kit: PageKit, request: PageRequest<Session>, fault: Fault | undefined): Promise<PageAnswer> {
  const { session, token } = request;
  const { signin, organization } = kit.rooms;
  const [methods, offered] = await Promise.all([signin.upstreams.methods(session.user), signin.upstreams.offered(organization.id)]);
  const linked = new Set(methods.map(({ upstream }) => upstream));
  const more = offered.filter(({ name, works }) => works && !linked.has(name));
  const wrong = fault === undefined ? undefined : told(fault);
  return {
    kind: 'page',
    status: wrong?.status ?? 200,
    title: 'How you sign in',
    body: html`<h1>How you sign in</h1>
<p class="lead">as ${session.user.email}</p>
${wrong !== undefined && note('bad', wrong.sentence)}
<section class="card"><h2>Linked accounts</h2>${rows(kit, token, methods)}</section>
${more.length > 0 && html`<section class="card"><h2>Link another</h2><p class="soft">You prove that it is yours by signing in there.</p>${more.map(({ name, label }) => button(kit, token, 'link', 'upstream', name, `Link ${label}`))}</section>`}`,
  };
}

function rows(kit: PageKit, token: string, methods: readonly SignInMethod[]): Markup {
  if (methods.length === 0) return html`<p class="soft">None. You sign in with your password.</p>`;
  return html`<ul class="rows">${methods.map(
    ({ id, upstreamLabel, label, createdAt, usedAt }) =>
      html`<li><span class="name">${upstreamLabel}</span><span class="end">${unlinkForm(kit, token, id, upstreamLabel)}</span><span class="below">${label}. Linked ${when(createdAt)}, last used ${when(usedAt)}</span></li>`,
  )}</ul>`;
}

function unlinkForm(kit: PageKit, token: string, id: string, label: string): Markup {
  return html`<form method="post" action="${kit.base}${accountPath}/unlink">${tokenField(token)}<button class="plain" name="method" value="${id}" aria-label="Unlink ${label}">Unlink</button></form>`;
}

function button(kit: PageKit, token: string, action: string, name: string, value: string, words: string): Markup {
  return html`<form method="post" action="${kit.base}${accountPath}/${action}">${tokenField(token)}<div class="actions"><button class="quiet" name="${name}" value="${value}">${words}</button></div></form>`;
}
