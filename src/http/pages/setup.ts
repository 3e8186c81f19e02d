import { html } from './html.ts';
import { command, field, note, tokenField } from './layout.ts';
import { type PageAnswer, type PageKit, type PageRequest, type PageRoute, secret, sentenceOf, text } from './page.ts';

interface Typed {
  readonly email: string;
  readonly name: string;
  readonly problem?: string;
  readonly fields?: Readonly<Record<string, string>>;
  readonly status?: number;
}

/** Makes the first administrator: GET shows the form and spends nothing, POST spends the link (SECURITY 23). */
export function setupPages(kit: PageKit): readonly PageRoute[] {
  const { signin } = kit.rooms;
  const show = async (request: PageRequest, token: string, typed: Typed): Promise<PageAnswer> => {
    if ((await signin.setupState()) === 'closed') return closed(kit);
    if (token === '' || !(await signin.setupLinkLives(token))) return ended();
    return form(kit, request, token, typed);
  };
  return [
    {
      method: 'GET',
      path: '/setup',
      needs: 'anyone',
      handle: (request) => show(request, request.query.get('token') ?? '', { email: '', name: '' }),
    },
    {
      method: 'POST',
      path: '/setup',
      needs: 'anyone',
      async handle(request) {
        const person = { email: text(request.form, 'email'), name: text(request.form, 'name'), password: secret(request.form, 'password') };
        const token = text(request.form, 'token');
        try {
          const { session, bearer } = await signin.completeSetup(token, person, request.incoming.address);
          return { kind: 'go', to: '/', cookies: [kit.cookies.setSession(bearer, (session.expiresAt - kit.rooms.clock.now()) / 1000)] };
        } catch (error) {
          const { status, sentence, fields } = sentenceOf(error);
          return show(request, token, { email: person.email, name: person.name, problem: sentence, fields, status });
        }
      },
    },
  ];
}

function form(kit: PageKit, request: PageRequest, token: string, typed: Typed): PageAnswer {
  const error = (name: string) => typed.fields?.[`/${name}`];
  return {
    kind: 'page',
    status: typed.status ?? 200,
    title: 'Set up Gatehouse',
    body: html`<h1>Welcome to Gatehouse</h1>
<p class="lead">You are the first one here. Make the account that looks after this installation.</p>
${typed.problem !== undefined && note('bad', typed.problem)}
<form class="card" method="post" action="${kit.base}/setup">${tokenField(request.token)}<input type="hidden" name="token" value="${token}">
${field({ name: 'email', label: 'E-mail address', type: 'email', value: typed.email, autocomplete: 'username', autofocus: typed.fields === undefined || error('email') !== undefined, error: error('email') })}
${field({ name: 'name', label: 'Your name', value: typed.name, autocomplete: 'name', autofocus: error('name') !== undefined && error('email') === undefined, error: error('name') })}
${field({ name: 'password', label: 'Password', type: 'password', autocomplete: 'new-password', help: 'At least 12 characters. A sentence is fine.', minlength: 12, autofocus: Object.keys(typed.fields ?? {}).join() === '/password', error: error('password') })}
<div class="actions"><button>Create my account</button></div></form>
<p class="soft small">This link works once. Nothing else on this server answers until you are done.</p>`,
  };
}

function ended(): PageAnswer {
  return {
    kind: 'page',
    status: 410,
    title: 'This link has ended',
    body: html`<h1>This link has ended</h1>
<p class="lead">Set-up links work once, for one hour, and only until a newer one is printed.</p>
<div class="card"><p>Print a new one on the machine that runs Gatehouse, then open it here:</p>${command('gatehouse setup-link')}</div>`,
  };
}

function closed(kit: PageKit): PageAnswer {
  return {
    kind: 'page',
    status: 410,
    title: 'Already set up',
    body: html`<h1>This installation is set up already</h1>
<p class="lead">Somebody made the first account. If it was you, sign in.</p>
<p><a class="button" href="${kit.base}/signin">Sign in</a></p>`,
  };
}
