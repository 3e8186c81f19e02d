import type { RouteName } from '#api';
import type { Organization } from '#identity';
import { type ServedRoute, servedRoutes } from './api.ts';
import type { CallerDeps } from './callers.ts';
import { createChanges } from './confirmations.ts';
import type { HttpDeps, Rooms } from './contract.ts';
import { createCookies } from './cookies.ts';
import type { Hosts } from './hosts.ts';
import type { Kit } from './kit.ts';
import { createLookups } from './lookups.ts';
import { allPages, pagesElsewhere } from './pages/index.ts';
import type { PageKit, PageRoute } from './pages/page.ts';
import { agentRoutes } from './routes/agents.ts';
import { clientRoutes } from './routes/clients.ts';
import { connectionRoutes } from './routes/connections.ts';
import { detailsTypeRoutes } from './routes/details-types.ts';
import { organizationRoutes } from './routes/organizations.ts';
import { peopleRoutes } from './routes/people.ts';
import { permissionRoutes } from './routes/permissions.ts';
import { providerRoutes } from './routes/providers.ts';
import { registrationTokenRoutes } from './routes/registration-tokens.ts';
import { resourceRoutes } from './routes/resources.ts';
import { runRoutes } from './routes/runs.ts';
import { signingKeyRoutes } from './routes/signing-keys.ts';
import { trustRoutes } from './routes/trusts.ts';
import { upstreamRoutes } from './routes/upstreams.ts';

/** Where every organization but the default one is. */
export const bySlug = '/o/:slug';

/** What of the management contract is there below `/o/{slug}`: people, their sessions, and the issuer. */
export const elsewhere = [
  'whoami',
  'session_list',
  'session_get',
  'invitation_list',
  'invitation_add',
  'invitation_end',
  'session_end',
  'command_line_offer',
  'command_line_collect',
  'confirmation_get',
  'confirmation_list',
  'client_list',
  'client_get',
  'client_add',
  'client_remove',
  'client_secret_add',
  'client_secret_end',
  'registration_token_list',
  'registration_token_get',
  'registration_token_add',
  'registration_token_end',
  'trust_list',
  'trust_get',
  'trust_add',
  'trust_remove',
  'grant_list',
  'grant_end',
  'lives_get',
  'lives_change',
  'details_type_list',
  'details_type_add',
  'details_type_remove',
  'resource_list',
  'resource_get',
  'resource_add',
  'resource_change',
  'resource_remove',
  'signing_key_list',
  'signing_key_rotate',
  'signing_key_import',
  'signing_key_withdraw',
  'upstream_list',
  'upstream_get',
  'upstream_add',
  'upstream_test',
  'upstream_remove',
] as const satisfies readonly RouteName[];

/** One organization as it is served. Its handlers and pages can name no other (SECURITY 17). */
export interface Place {
  readonly kit: PageKit;
  readonly callers: CallerDeps;
  readonly api: ReadonlyMap<RouteName, ServedRoute>;
  /** By method and path. */
  readonly pages: ReadonlyMap<string, PageRoute>;
}

export interface Places {
  /** The default organization's, at the base URL. */
  readonly home: Place;
  /** That of a slug; without one, the default organization's. @throws {Fault} `issuer_unknown` */
  of(slug: string | undefined): Promise<Place>;
}

export function createPlaces(deps: HttpDeps, hosts: Hosts): Places {
  const made = new WeakMap<Organization, Place>();
  const home = placeOf(deps, hosts, { ...deps, ...within(deps, deps.organization), slug: undefined });
  return Object.freeze({
    home,
    async of(slug: string | undefined) {
      if (slug === undefined) return home;
      const organization = await deps.identity.organizationBySlug(slug);
      const known = made.get(organization);
      if (known !== undefined) return known;
      const place = placeOf(deps, hosts, { ...deps, ...within(deps, organization), publicUrl: organization.issuer, slug });
      made.set(organization, place);
      return place;
    },
  });
}

function within({ transactIn, authenticateIn }: HttpDeps, organization: Organization) {
  const transact: Rooms['transact'] = (fn) => transactIn(organization.id, fn);
  return { organization, transact, authenticate: authenticateIn(organization.id) };
}

function placeOf(deps: HttpDeps, hosts: Hosts, rooms: Rooms): Place {
  const look = createLookups(rooms);
  const cookies = createCookies(deps.publicUrl.startsWith('https:'), rooms.slug);
  const root = new URL(deps.publicUrl).pathname.replace(/\/+$/, '');
  const prefix = rooms.slug === undefined ? '' : `/o/${rooms.slug}`;
  const kit: PageKit = { rooms, look, changes: createChanges({ rooms, look }), root, prefix, base: root + prefix, cookies };
  const principalOf: CallerDeps['principalOf'] = (agent) => deps.identity.principalOf(agent);
  const pages = rooms.slug === undefined ? allPages(kit) : pagesElsewhere(kit);
  return Object.freeze({
    kit,
    callers: { evidence: rooms.authenticate, cookies, hosts, principalOf },
    api: new Map(servedRoutes(handlersOf(kit)).map((served) => [served.name, served])),
    pages: new Map(pages.map((page) => [pageKey(page), page])),
  });
}

export function pageKey({ method, path }: Pick<PageRoute, 'method' | 'path'>): string {
  return `${method} ${path}`;
}

function handlersOf(kit: Kit) {
  return {
    ...agentRoutes(kit),
    ...providerRoutes(kit),
    ...connectionRoutes(kit),
    ...permissionRoutes(kit),
    ...runRoutes(kit),
    ...peopleRoutes(kit),
    ...clientRoutes(kit),
    ...registrationTokenRoutes(kit),
    ...trustRoutes(kit),
    ...resourceRoutes(kit),
    ...signingKeyRoutes(kit),
    ...organizationRoutes(kit),
    ...detailsTypeRoutes(kit),
    ...upstreamRoutes(kit),
  };
}
