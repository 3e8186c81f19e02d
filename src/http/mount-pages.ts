import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Fault, isFault } from '#kernel';
import type { Session } from '#signin';
import { formOf } from './body.ts';
import type { Evidence } from './contract.ts';
import type { Cookies } from './cookies.ts';
import { pagePolicyTo } from './headers.ts';
import type { Hosts } from './hosts.ts';
import type { Incoming } from './incoming.ts';
import { incoming } from './mount.ts';
import { allPages } from './pages/index.ts';
import { page } from './pages/layout.ts';
import { type Form, type PageAnswer, type PageKit, type PageRequest, type PageRoute, text } from './pages/page.ts';
import { icon, iconPath, style, stylePath } from './pages/style.ts';

export interface PageDeps {
  readonly kit: PageKit;
  readonly cookies: Cookies;
  readonly hosts: Hosts;
  readonly evidence: Pick<Evidence, 'browser'>;
}

/** What a form is tied to: the session, or before sign-in a cookie of its own. */
interface Tied {
  readonly session: Session | undefined;
  readonly token: string;
  /** The cookie to set when there was none. */
  readonly cookie: string | undefined;
}

/** The pages, the stylesheet and the icon. */
export function mountPages(app: FastifyInstance, deps: PageDeps): void {
  const asset = (type: string, body: string, life: string) => (_: FastifyRequest, reply: FastifyReply) =>
    reply.headers({ 'content-type': type, 'cache-control': `public, ${life}` }).send(body);
  app.get(stylePath, asset('text/css; charset=utf-8', style, 'max-age=31536000, immutable'));
  app.get(iconPath, asset('image/svg+xml', icon, 'max-age=86400'));
  for (const route of allPages(deps.kit)) {
    app.route({
      method: route.method,
      url: route.path,
      config: { page: true },
      handler: async (request, reply) => answer(deps, reply, await serve(deps, route, request)),
    });
  }
}

interface Served {
  readonly answer: PageAnswer;
  readonly tied: Tied;
}

async function serve(deps: PageDeps, route: PageRoute, request: FastifyRequest): Promise<Served> {
  const given = incoming(request);
  if (given.unsafe) deps.hosts.checkSameSite(given.headers);
  const tied = await tiedTo(deps, given);
  const form = given.unsafe ? formOf(given.headers['content-type'], given.body) : {};
  if (route.needs === 'session' && tied.session === undefined) return { tied, answer: toSignIn(given) };
  if (given.unsafe) checkToken(form, tied.token);
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

async function tiedTo({ kit, cookies, evidence }: PageDeps, { headers }: Incoming): Promise<Tied> {
  const bearer = cookies.session(headers.cookie);
  const session = bearer === undefined ? undefined : await evidence.browser(bearer).catch(nobody);
  if (session !== undefined) return { session, token: kit.rooms.vault.mac('http form', `session ${session.id}`), cookie: undefined };
  const known = cookies.form(headers.cookie);
  const value = known ?? randomBytes(24).toString('base64url');
  const cookie = known === undefined ? cookies.setForm(value) : undefined;
  return { session: undefined, token: kit.rooms.vault.mac('http form', `form ${value}`), cookie };
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
function toSignIn(given: Incoming): PageAnswer {
  const to = given.unsafe ? '/signin' : `/signin?next=${encodeURIComponent(given.url)}`;
  return { kind: 'go', to };
}

function answer({ kit }: PageDeps, reply: FastifyReply, { answer: given, tied }: Served): FastifyReply {
  const cookies = [...(given.kind === 'go' ? (given.cookies ?? []) : []), ...(tied.cookie === undefined ? [] : [tied.cookie])];
  if (cookies.length > 0) reply.header('set-cookie', cookies);
  if (given.kind === 'leave') return reply.code(303).header('location', given.to).send('');
  if (given.kind === 'go') return reply.code(303).header('location', `${kit.base}${given.to}`).send('');
  const person = tied.session === undefined ? undefined : { email: tied.session.user.email, token: tied.token };
  const text = page({ base: kit.base, title: given.title, body: given.body, wide: given.wide === true, person, refresh: given.refresh });
  return reply
    .code(given.status ?? 200)
    .headers({ 'content-type': 'text/html; charset=utf-8', 'content-security-policy': pagePolicyTo(given.destination) })
    .send(text);
}
