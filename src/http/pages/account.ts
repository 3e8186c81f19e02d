import type { StandingGrant } from '#issuer';
import { Fault, parseId } from '#kernel';
import type { Session, SessionView } from '#signin';
import { html, type Markup } from './html.ts';
import { field, note, tokenField, when } from './layout.ts';
import { type PageAnswer, type PageKit, type PageRequest, type PageRoute, secret, sentenceOf } from './page.ts';
import { requestRows } from './requests.ts';
import { accountPath } from './upstream.ts';

/** Where a person is signed in, and what they let applications do: to look at, and to end. */
export function accountPages(kit: PageKit): readonly PageRoute[] {
  const { signin, issuer, organization } = kit.rooms;
  const back: PageAnswer = { kind: 'go', to: '/account' };
  return [
    { method: 'GET', path: '/account', needs: 'session', handle: (request) => account(kit, request) },
    {
      method: 'POST',
      path: '/account/sessions/:session/end',
      needs: 'session',
      async handle({ session, params }) {
        const own = await signin.sessions(session.user);
        const found = own.find(({ id }) => id === params.session);
        if (found === undefined) throw new Fault('not_found');
        await signin.end(organization.id, found.id, 'ended_by_person');
        return back;
      },
    },
    {
      method: 'POST',
      path: '/account/sessions/end-others',
      needs: 'session',
      async handle({ session }) {
        await signin.endAll(session.user, 'ended_by_person', session.id);
        return back;
      },
    },
    {
      method: 'POST',
      path: '/account/password',
      needs: 'session',
      async handle(request) {
        const { form, incoming, session } = request;
        const change = { current: secret(form, 'password'), wanted: secret(form, 'new_password'), address: incoming.address };
        try {
          await signin.changePassword(session, change);
          return account(kit, request, { done: true });
        } catch (error) {
          return account(kit, request, sentenceOf(error));
        }
      },
    },
    {
      method: 'POST',
      path: '/account/grants/:grant/end',
      needs: 'session',
      async handle({ session, params }) {
        const id = parseId('grt', params.grant ?? '');
        if (id === undefined || !(await issuer.endGrant(session.principal, id))) throw new Fault('not_found');
        return back;
      },
    },
  ];
}

/** Below `/o/{slug}` there is no other start. */
export function startPages(): readonly PageRoute[] {
  const handle = async (): Promise<PageAnswer> => ({ kind: 'go', to: '/account' });
  return ['', '/'].map((path) => ({ method: 'GET', path, needs: 'anyone', handle }));
}

/** How a change of the password went. */
type Changed = { readonly done: true } | ReturnType<typeof sentenceOf>;

async function account(kit: PageKit, { session, token }: PageRequest<Session>, changed?: Changed): Promise<PageAnswer> {
  const { signin, issuer, organization, identity } = kit.rooms;
  const [sessions, grants, hash, asking] = await Promise.all([
    signin.sessions(session.user),
    issuer.grants(organization.id, session.user.id),
    identity.passwordHash(organization.id, session.user.id),
    issuer.backchannel.waiting(session),
  ]);
  return {
    kind: 'page',
    status: changed !== undefined && 'status' in changed ? changed.status : 200,
    title: 'Your account',
    body: html`<h1>${session.user.name}</h1>
<p class="lead">${session.user.email}, at ${organization.name}</p>
${asking.length > 0 && html`<section class="card"><h2>Who asks for you <span class="count">${asking.length}</span></h2>${requestRows(kit, asking)}</section>`}
<section class="card"><h2>Applications <span class="count">${grants.length}</span></h2>${grantRows(kit, token, grants)}</section>
<section class="card"><h2>Signed in <span class="count">${sessions.length}</span></h2>${sessionRows(kit, token, sessions, session.id)}</section>
${hash !== undefined && passwordForm(kit, token, changed)}
<p class="small"><a href="${kit.base}${accountPath}">How you sign in</a> · <a href="${kit.base}/requests">Who asks for you</a> · <a href="${kit.base}/confirmations">Waiting for you</a></p>`,
  };
}

function passwordForm(kit: PageKit, token: string, changed: Changed | undefined): Markup {
  const problem = changed !== undefined && 'sentence' in changed ? changed : undefined;
  return html`<section class="card"><h2>Password</h2>
${changed !== undefined && 'done' in changed && note('good', 'It is changed, and you are signed out everywhere else.')}
${problem !== undefined && note('bad', problem.sentence)}
<form method="post" action="${kit.base}/account/password">${tokenField(token)}
${field({ name: 'password', label: 'The one of now', type: 'password', autocomplete: 'current-password' })}
${field({ name: 'new_password', label: 'A new one', type: 'password', autocomplete: 'new-password', help: 'At least 12 characters. A sentence is fine.', minlength: 12, error: problem?.fields['/password'] })}
<div class="actions"><button class="quiet">Change the password</button></div></form>
<p class="soft small">You are signed out everywhere else, and applications are told.</p></section>`;
}

function grantRows(kit: PageKit, token: string, grants: readonly StandingGrant[]): Markup {
  if (grants.length === 0) return html`<p>No application may act for you.</p>`;
  return html`<ul class="rows">${grants.map(
    (grant) =>
      html`<li><span class="name">${grant.clientName}</span>${endButton(`${kit.base}/account/grants/${grant.id}/end`, token, 'End', grant.clientName)}<span class="below">${grant.scopes.join(', ') || 'no scopes'}, since ${when(grant.createdAt)}</span></li>`,
  )}</ul><p class="soft small">What you end stops at once. The application asks you the next time.</p>`;
}

function sessionRows(kit: PageKit, token: string, sessions: readonly SessionView[], current: Session['id']): Markup {
  return html`<ul class="rows">${sessions.map(({ id, kind, label, lastSeenAt }) => {
    const name = label === '' ? (kind === 'browser' ? 'A browser' : 'A command line') : label;
    const own = id === current;
    return html`<li><span class="name">${name}</span>${own ? html`<span class="badge good end">this one</span>` : endButton(`${kit.base}/account/sessions/${id}/end`, token, 'Sign out', name)}<span class="below">${kind === 'browser' ? 'browser' : 'command line'}, last seen ${when(lastSeenAt)}</span></li>`;
  })}</ul>${
    sessions.length > 1 &&
    html`<form class="actions" method="post" action="${kit.base}/account/sessions/end-others">${tokenField(token)}<button class="quiet">Sign out everywhere else</button></form>`
  }`;
}

function endButton(action: string, token: string, words: string, about: string): Markup {
  return html`<form class="end" method="post" action="${action}">${tokenField(token)}<button class="plain" aria-label="${words}: ${about}">${words}</button></form>`;
}
