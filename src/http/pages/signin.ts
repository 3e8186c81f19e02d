import { browserLabel } from '../browser-label.ts';
import { waitingFor } from './authorize.ts';
import { html, type Markup } from './html.ts';
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
        const again = request.query.has('again');
        return request.session === undefined || again ? signinForm(kit, request, { next, again }, {}) : { kind: 'go', to: next };
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
          return signinForm(kit, request, { next, again: text(request.form, 'again') !== '' }, { email, ...sentenceOf(error) });
        }
      },
    },
  ];
}

/** For who comes to make an account (Initiating User Registration via OpenID Connect §4: prompt=create). */
const newAccounts = 'No account yet? Whoever administers this server makes one for you. Then come back and sign in with it.';

interface Wanted {
  /** Where they go on to. */
  readonly next: string;
  /** They are to prove who they are anew, whoever is signed in. */
  readonly again: boolean;
}

interface Typed {
  readonly email?: string;
  readonly sentence?: string;
  readonly status?: number;
}

/** The sign-in page, with a button for each upstream that works. */
export async function signinForm(kit: PageKit, request: PageRequest, wanted: Wanted, typed: Typed): Promise<PageAnswer> {
  const { rooms } = kit;
  const [waiting, offered] = await Promise.all([
    waitingFor(kit, request.incoming, wanted.next),
    rooms.signin.upstreams.offered(rooms.organization.id),
  ]);
  const { next, again } = wanted;
  const email = typed.email ?? waiting?.loginHint;
  const hidden = html`${tokenField(request.token)}<input type="hidden" name="next" value="${next}">${again && html`<input type="hidden" name="again" value="yes">`}`;
  return {
    kind: 'page',
    status: typed.status ?? 200,
    title: 'Sign in',
    destination: waiting?.destination,
    body: html`<h1>Sign in</h1>
${waiting && html`<p class="lead">to go on to ${waiting.client}</p>`}
${request.query.has('create') && note('plain', newAccounts)}
${typed.sentence !== undefined && note('bad', typed.sentence)}
${upstreamButtons(kit, hidden, offered)}
<form class="card" method="post" action="${kit.base}/signin">${hidden}
${field({ name: 'email', label: 'E-mail address', type: 'email', value: email, autocomplete: 'username', autofocus: email === undefined })}
${field({ name: 'password', label: 'Password', type: 'password', autocomplete: 'current-password', autofocus: email !== undefined })}
<div class="actions"><button>Sign in</button></div></form>`,
  };
}

type Offered = Awaited<ReturnType<PageKit['rooms']['signin']['upstreams']['offered']>>;

function upstreamButtons(kit: PageKit, hidden: Markup, offered: Offered): Markup | undefined {
  const works = offered.filter((one) => one.works);
  const rest = offered.filter((one) => !one.works).map(({ label }) => label);
  if (offered.length === 0) return undefined;
  return html`${works.length > 0 && html`<form class="card upstreams" method="post" action="${kit.base}/signin/upstream">${hidden}${works.map(({ name, label }) => html`<button class="quiet" name="upstream" value="${name}">Sign in with ${label}</button>`)}</form>`}
${rest.length > 0 && html`<p class="soft small">Not reached right now: ${rest.join(', ')}</p>`}`;
}
