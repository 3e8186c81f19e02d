import { randomBytes } from 'node:crypto';
import { isFault } from '#kernel';
import type { Arrival, Arrived } from '#signin';
import { formOf } from '../body.ts';
import { browserLabel } from '../browser-label.ts';
import { html } from './html.ts';
import { leaving } from './leaving.ts';
import { type PageAnswer, type PageKit, type PageRequest, type PageRoute, safeNext, text, told } from './page.ts';
import { signinForm } from './signin.ts';

/** Where people see how they sign in. */
export const accountPath = '/account/sign-in';

/** Signing in through an upstream identity provider: leaving for it, and what its answer brings. */
export function upstreamPages(kit: PageKit): readonly PageRoute[] {
  return [
    { method: 'POST', path: '/signin/upstream', needs: 'anyone', handle: (request) => leave(kit, request) },
    {
      method: 'GET',
      path: '/signin/callback/:upstream',
      needs: 'anyone',
      handle: (request) => arrive(kit, request, { upstream: request.params.upstream ?? '' }),
    },
    {
      method: 'POST',
      path: '/signin/callback/:upstream',
      needs: 'anyone',
      fromElsewhere: true,
      handle: async (request) => again(request, kit),
    },
    { method: 'GET', path: '/signin/platform/:kind', needs: 'anyone', handle: (request) => arriveAtPlatform(kit, request) },
  ];
}

async function leave(kit: PageKit, request: PageRequest): Promise<PageAnswer> {
  const next = safeNext(text(request.form, 'next'));
  const wants = text(request.form, 'again') !== '';
  try {
    return await depart(kit, request, { upstream: text(request.form, 'upstream'), next, again: wants, link: undefined });
  } catch (error) {
    if (!isFault(error)) throw error;
    return signinForm(kit, request, { next, again: wants }, told(error));
  }
}

/** Sends the browser to an upstream; what it holds then ties the answer to it. */
export async function depart(
  kit: PageKit,
  { incoming }: PageRequest,
  where: Pick<Parameters<PageKit['rooms']['signin']['upstreams']['begin']>[0], 'upstream' | 'next' | 'again' | 'link'>,
): Promise<PageAnswer> {
  const known = kit.cookies.browser(incoming.headers.cookie);
  const binding = known ?? randomBytes(24).toString('base64url');
  const { id: organization } = kit.rooms.organization;
  const { to, label } = await kit.rooms.signin.upstreams.begin({ ...where, organization, binding, address: incoming.address });
  return leaving(label, to, known === undefined ? [kit.cookies.setBrowser(binding)] : []);
}

async function arrive(kit: PageKit, request: PageRequest, at: Arrival['at']): Promise<PageAnswer> {
  const { session, incoming, query } = request;
  const arrived = await kit.rooms.signin.upstreams.complete({
    organization: kit.rooms.organization.id,
    at,
    parameters: query,
    binding: kit.cookies.browser(incoming.headers.cookie),
    session,
    address: incoming.address,
    label: browserLabel(incoming.headers['user-agent'], incoming.address),
  });
  return shownAs(kit, request, arrived);
}

async function shownAs(kit: PageKit, request: PageRequest, arrived: Arrived): Promise<PageAnswer> {
  switch (arrived.kind) {
    case 'signed_in': {
      const { session, bearer } = arrived.started;
      const seconds = (session.expiresAt - kit.rooms.clock.now()) / 1000;
      return { kind: 'go', to: arrived.next, cookies: [kit.cookies.setSession(bearer, seconds)] };
    }
    case 'linked':
      return { kind: 'go', to: accountPath };
    case 'refused':
      if (arrived.linking) throw arrived.fault;
      return signinForm(kit, request, { next: arrived.next, again: request.session !== undefined }, told(arrived.fault));
  }
}

const brought = ['code', 'state', 'error', 'iss', 'user'] as const;

/**
 * An answer that came by POST (`form_post`), from another site and so without our cookies. It is brought once more, by GET
 * and from here; nothing is done with it before.
 */
function again({ incoming, params }: PageRequest, kit: PageKit): PageAnswer {
  const form = formOf(incoming.headers['content-type'], incoming.body);
  const parameters = new URLSearchParams();
  for (const name of brought) {
    const value = text(form, name);
    if (value !== '' && value.length <= 4096) parameters.set(name, value);
  }
  const to = `${kit.base}/signin/callback/${encodeURIComponent(params.upstream ?? '')}?${parameters.toString()}`;
  return {
    kind: 'page',
    title: 'Signing in',
    refresh: { seconds: 0, to },
    body: html`<h1>Signing you in</h1><p class="lead">Nothing happens? <a href="${to}">Go on by hand.</a></p>`,
  };
}

/** The platform's client has one redirect URI for all organizations; the one whose state it is takes the answer at its own address. */
async function arriveAtPlatform(kit: PageKit, request: PageRequest): Promise<PageAnswer> {
  const kind = request.params.kind ?? '';
  const { rooms, prefix } = kit;
  const slug = prefix === '' ? await rooms.signin.upstreams.whose(request.query.get('state') ?? '') : undefined;
  if (slug === undefined) return arrive(kit, request, { platform: kind });
  return { kind: 'go', to: `/o/${slug}/signin/platform/${encodeURIComponent(kind)}?${request.query.toString()}` };
}
