import { browserLabel } from '../browser-label.ts';
import { html } from './html.ts';
import { field, note, tokenField } from './layout.ts';
import { type PageAnswer, type PageKit, type PageRequest, type PageRoute, secret, sentenceOf, text } from './page.ts';

interface Typed {
  readonly name: string;
  readonly problem?: string;
  readonly fields?: Readonly<Record<string, string>>;
  readonly status?: number;
}

/** Somebody who was invited makes their account: GET shows the form and spends nothing, POST spends the link. */
export function joinPages(kit: PageKit): readonly PageRoute[] {
  const { signin, organization, clock } = kit.rooms;
  return [
    {
      method: 'GET',
      path: '/join',
      needs: 'anyone',
      handle: (request) => form(kit, request, request.query.get('token') ?? '', { name: '' }),
    },
    {
      method: 'POST',
      path: '/join',
      needs: 'anyone',
      async handle(request) {
        const token = text(request.form, 'token');
        const name = text(request.form, 'name');
        const { address, headers } = request.incoming;
        const label = browserLabel(headers['user-agent'], address);
        try {
          const joining = { token, name, password: secret(request.form, 'password'), address, label };
          const { session, bearer } = await signin.join(organization.id, joining);
          return { kind: 'go', to: '/', cookies: [kit.cookies.setSession(bearer, (session.expiresAt - clock.now()) / 1000)] };
        } catch (error) {
          const { status, sentence, fields } = sentenceOf(error);
          return form(kit, request, token, { name, problem: sentence, fields, status });
        }
      },
    },
  ];
}

async function form(kit: PageKit, request: PageRequest, token: string, typed: Typed): Promise<PageAnswer> {
  const { identity, organization } = kit.rooms;
  const invitation = token === '' ? undefined : await identity.invitation(organization.id, token);
  if (invitation === undefined) return ended(kit);
  const error = (name: string) => typed.fields?.[`/${name}`];
  return {
    kind: 'page',
    status: typed.status ?? 200,
    title: `Join ${organization.name}`,
    body: html`<h1>Join ${organization.name}</h1>
<p class="lead">You were invited as ${invitation.email}. Make your account.</p>
${typed.problem !== undefined && note('bad', typed.problem)}
<form class="card" method="post" action="${kit.base}/join">${tokenField(request.token)}<input type="hidden" name="token" value="${token}"><input type="hidden" name="email" autocomplete="username" value="${invitation.email}">
${field({ name: 'name', label: 'Your name', value: typed.name, autocomplete: 'name', autofocus: typed.fields === undefined || error('name') !== undefined, error: error('name') })}
${field({ name: 'password', label: 'Password', type: 'password', autocomplete: 'new-password', help: 'At least 12 characters. A sentence is fine.', minlength: 12, autofocus: error('password') !== undefined && error('name') === undefined, error: error('password') })}
<div class="actions"><button>Create my account</button></div></form>`,
  };
}

function ended(kit: PageKit): PageAnswer {
  return {
    kind: 'page',
    status: 410,
    title: 'This invitation has ended',
    body: html`<h1>This invitation has ended</h1>
<p class="lead">Invitations work once, for seven days. Ask whoever invited you for another.</p>
<p>You have an account already? <a href="${kit.base}/signin">Sign in</a></p>`,
  };
}
