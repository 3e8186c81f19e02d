import { browserLabel } from '../browser-label.ts';
import { waitingFor } from './authorize.ts';
import { html } from './html.ts';
import { field, note, tokenField } from './layout.ts';
import { type PageAnswer, type PageKit, type PageRequest, type PageRoute, safeNext, secret, sentenceOf, text } from './page.ts';

/** Signing in with a password. */
export function signinPages(kit: PageKit): readonly PageRoute[] {
  const { rooms, cookies } = kit;
  return [
    {
      method: 'GET',
      path: '/signin',
      needs: 'anyone',
      async handle(request) {
        const next = safeNext(request.query.get('next') ?? undefined);
        const wanted = request.session === undefined || request.query.has('again');
        return wanted ? form(kit, request, next, {}) : { kind: 'go', to: next };
      },
    },
    {
      method: 'POST',
      path: '/signin',
      needs: 'anyone',
      async handle(request) {
        const next = safeNext(text(request.form, 'next'));
        const email = text(request.form, 'email');
        try {
          const { session, bearer } = await rooms.signin.signIn(
            rooms.organization.id,
            email,
            secret(request.form, 'password'),
            request.incoming.address,
            request.session?.id,
            browserLabel(request.incoming.headers['user-agent'], request.incoming.address),
          );
          return { kind: 'go', to: next, cookies: [cookies.setSession(bearer, (session.expiresAt - rooms.clock.now()) / 1000)] };
        } catch (error) {
          return form(kit, request, next, { email, ...sentenceOf(error) });
        }
      },
    },
  ];
}

/** For who comes to make an account (Initiating User Registration via OpenID Connect §4: prompt=create). */
const newAccounts = 'No account yet? Whoever administers this server makes one for you. Then come back and sign in with it.';

async function form(
  kit: PageKit,
  request: PageRequest,
  next: string,
  typed: { readonly email?: string; readonly sentence?: string; readonly status?: number },
): Promise<PageAnswer> {
  const waiting = await waitingFor(kit, request.incoming, next);
  const email = typed.email ?? waiting?.loginHint;
  return {
    kind: 'page',
    status: typed.status ?? 200,
    title: 'Sign in',
    destination: waiting?.destination,
    body: html`<h1>Sign in</h1>
${waiting && html`<p class="lead">to go on to ${waiting.client}</p>`}
${request.query.has('create') && note('plain', newAccounts)}
${typed.sentence !== undefined && note('bad', typed.sentence)}
<form class="card" method="post" action="${kit.base}/signin">${tokenField(request.token)}<input type="hidden" name="next" value="${next}">
${field({ name: 'email', label: 'E-mail address', type: 'email', value: email, autocomplete: 'username', autofocus: email === undefined })}
${field({ name: 'password', label: 'Password', type: 'password', autocomplete: 'current-password', autofocus: email !== undefined })}
<div class="actions"><button>Sign in</button></div></form>`,
  };
}
