import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Fault, isFault } from '#kernel';
import type { Session } from '#signin';
import { formOf } from './body.ts';
import { pagePolicyTo } from './headers.ts';
import type { Hosts } from './hosts.ts';
import type { Incoming } from './incoming.ts';
import { incoming } from './mount.ts';
import { pagesElsewhere } from './pages/index.ts';
import { page } from './pages/layout.ts';
import { type Form, type PageAnswer, type PageKit, type PageRequest, type PageRoute, text } from './pages/page.ts';
import { icon, iconPath, style, stylePath } from './pages/style.ts';
import { submitBody, submitPolicy } from './pages/submit.ts';
import { bySlug, type Places, pageKey } from './places.ts';

/** What a form is tied to: the session, or before sign-in a cookie of its own. */
interface Tied {
  readonly session: Session | undefined;
  readonly token: string;
  /** The cookie to set when there was none. */
  readonly cookie: string | undefined;
}

/** The pages of every organization, the stylesheet and the icon. */
export function mountPages(app: FastifyInstance, places: Places, hosts: Hosts): void {
  const asset = (type: string, body: string, life: string) => (_: FastifyRequest, reply: FastifyReply) =>
    reply.headers({ 'content-type': type, 'cache-control': `public, ${life}` }).send(body);
  app.get(stylePath, asset('text/css; charset=utf-8', style, 'max-age=31536000, immutable'));
  app.get(iconPath, asset('image/svg+xml', icon, 'max-age=86400'));
  const mount = (key: string, { method, path, fromElsewhere }: PageRoute, prefix: string) => {
    // HEAD does nothing: what looks ahead of a person, as links in mails are looked at, spends nothing of theirs.
    if (method === 'GET')
      app.route({ method: 'HEAD', url: prefix + path, handler: async (_, reply) => reply.type('text/html; charset=utf-8').send('') });
    app.route({
      method,
      url: prefix + path,
      exposeHeadRoute: false,
      config: { page: true, fromElsewhere: fromElsewhere === true },
      handler: async (request, reply) => {
        const { kit, pages } = await places.of((request.params as { readonly slug?: string }).slug);
        const route = pages.get(key);
        if (route === undefined) throw new Fault('not_found');
        return answer(kit, reply, await serve({ kit, hosts }, route, request));
      },
    });
  };
  const { pages, kit } = places.home;
  for (const [key, route] of pages) mount(key, route, '');
  for (const route of pagesElsewhere(kit)) mount(pageKey(route), route, bySlug);
}

interface PageDeps {
  readonly kit: PageKit;
  readonly hosts: Hosts;
}

interface Served {
  readonly answer: PageAnswer;
  readonly tied: Tied;
}

async function serve(deps: PageDeps, route: PageRoute, request: FastifyRequest): Promise<Served> {
  const given = incoming(request);
  const guarded = given.unsafe && route.fromElsewhere !== true;
  if (guarded) deps.hosts.checkSameSite(given.headers);
  const tied = await tiedTo(deps.kit, given);
  const form = guarded ? formOf(given.headers['content-type'], given.body) : {};
  if (route.needs === 'session' && tied.session === undefined) return { tied, answer: toSignIn(deps.kit, given) };
  if (guarded) checkToken(form, tied.token);
  const asked: PageRequest = {
    incoming: given,
    session: tied.session,
    params: request.params as Readonly<Record<string, string>>,
    query: new URLSearchParams(given.url.split('?')[1] ?? ''),
    form,
    token: tied.token,
  };
  const answer = route.needs === 'session' ? await route.handle(asked as PageRequest<Session>) : await route.handle(asked);
  return { tied, answer };
}

async function tiedTo({ rooms, cookies }: PageKit, { headers }: Incoming): Promise<Tied> {
  const bearer = cookies.session(headers.cookie);
  const session = bearer === undefined ? undefined : await rooms.authenticate.browser(bearer).catch(nobody);
  if (session !== undefined) return { session, token: rooms.vault.mac('http form', `session ${session.id}`), cookie: undefined };
  const known = cookies.form(headers.cookie);
  const value = known ?? randomBytes(24).toString('base64url');
  const cookie = known === undefined ? cookies.setForm(value) : undefined;
  return { session: undefined, token: rooms.vault.mac('http form', `form ${rooms.organization.id} ${value}`), cookie };
}

function nobody(error: unknown): undefined {
  if (isFault(error, 'unauthenticated')) return undefined;
  throw error;
}

function checkToken(form: Form, token: string): void {
  const given = Buffer.from(text(form, 'form_token'));
  const right = Buffer.from(token);
  if (given.length !== right.length || !timingSafeEqual(given, right)) throw new Fault('form_ended');
}

/** Back to the page afterwards, if it can be had again by GET. */
function toSignIn({ prefix }: PageKit, { unsafe, url }: Incoming): PageAnswer {
  const again = !unsafe && url.startsWith(`${prefix}/`);
  return { kind: 'go', to: again ? `/signin?next=${encodeURIComponent(url.slice(prefix.length))}` : '/signin' };
}

function answer({ root, base }: PageKit, reply: FastifyReply, { answer: given, tied }: Served): FastifyReply {
  const cookies = [...(given.cookies ?? []), ...(tied.cookie === undefined ? [] : [tied.cookie])];
  if (cookies.length > 0) reply.header('set-cookie', cookies);
  if (given.kind === 'leave') return reply.code(303).header('location', given.to).send('');
  if (given.kind === 'go') return reply.code(303).header('location', `${base}${given.to}`).send('');
  if (given.kind === 'submit') return submit(reply, { root, base }, given);
  // A page that takes the session away is nobody's any more.
  const stays = given.cookies === undefined ? tied.session : undefined;
  const person = stays === undefined ? undefined : { email: stays.user.email, token: tied.token };
  const text = page({ root, base, title: given.title, body: given.body, wide: given.wide === true, person, refresh: given.refresh });
  return reply
    .code(given.status ?? 200)
    .headers({ 'content-type': 'text/html; charset=utf-8', 'content-security-policy': pagePolicyTo(given.destination, given.frames) })
    .send(text);
}

/** Our origin goes with the form, and nothing more: some applications look at it. */
function submit(reply: FastifyReply, place: Pick<PageKit, 'root' | 'base'>, { to, members }: Extract<PageAnswer, { kind: 'submit' }>) {
  const text = page({ ...place, title: 'Going back', body: submitBody(to, members), referrer: 'strict-origin' });
  return reply
    .headers({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': submitPolicy(to),
      'referrer-policy': 'strict-origin',
    })
    .send(text);
}
