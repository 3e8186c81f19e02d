import { type TokenFormatName, tokenFormatNames } from '#api';
import { Fault, newId, type OrganizationId, type Principal, parseId, type ResourceId } from '#kernel';
import { type TokenAlgorithmName, tokenAlgorithmNames } from '#oauth';
import { cacheByGeneration, isUniqueViolation, pageLimit, pageOf, rowOfCursor, sha256, type Writing } from '#store';
import type { Resource, ResourceDraft, ResourceScope, Resources } from './contract.ts';
import type { IssuerGround } from './deps.ts';
import { changeResource, deleteResource, insertResource, type ResourceRow, resourcesOf, resourcesPage } from './resources.sql.ts';
import { isScope, ownScopes } from './scopes.ts';

/** A resource indicator: an absolute URI without fragment (RFC 8707 §2). */
export function isResource(text: string): boolean {
  if (text.length > 512 || !/^[a-z][a-z0-9+.-]*:[\x21-\x7e]+$/i.test(text) || text.includes('#')) return false;
  return URL.canParse(text);
}

/** Registered resources: rows, and a cache of each organization's that forgets at every change of the topic `issuing`. */
export function createResources(deps: IssuerGround): Resources & { close(): void } {
  const { records, changes } = deps;
  const known = cacheByGeneration<ReadonlyMap<string, Resource>>(changes, 'issuing', 1_000);

  async function registered(organization: OrganizationId): Promise<ReadonlyMap<string, Resource>> {
    const load = async () => {
      const rows = await records.in(organization).read((tx) => resourcesOf(tx, organization));
      return new Map(rows.map((row) => [row.identifier, resourceOf(row)]));
    };
    return (await known.get(organization, load)) as ReadonlyMap<string, Resource>;
  }

  return Object.freeze({
    registered,
    judge: judgeResource,
    add: (tx: Writing, by: Principal, draft: ResourceDraft) => add(deps, tx, by, draft),
    change: (tx: Writing, by: Principal, id: string, version: number, draft: ResourceDraft) =>
      change(deps, tx, by, { id: wanted(id), version }, draft),
    async find(organization: OrganizationId, given: string) {
      const all = await registered(organization);
      const id = parseId('rsc', given);
      const found = id === undefined ? all.get(given) : [...all.values()].find((resource) => resource.id === id);
      if (found === undefined) throw new Fault('resource_unknown');
      return found;
    },
    async list(organization: OrganizationId, query: { readonly text?: string; readonly cursor?: string; readonly limit: number }) {
      const limit = pageLimit(query.limit);
      const before = query.cursor === undefined ? undefined : rowOfCursor(query.cursor);
      const rows = await records.in(organization).read((tx) => resourcesPage(tx, organization, { text: query.text, before, limit }));
      return pageOf(rows, limit, resourceOf);
    },
    remove: (by: Principal, id: string) => remove(deps, by, wanted(id)),
    close: () => known.close(),
  });
}

function wanted(id: string): ResourceId {
  const parsed = parseId('rsc', id);
  if (parsed === undefined) throw new Fault('resource_unknown');
  return parsed;
}

const label = /^[^\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]{1,100}$/u;
const words = /^[^\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]{1,200}$/u;
const mostScopes = 100;

/** What may be registered, field by field. @throws {Fault} `resource_invalid` with a sentence per field */
function judgeResource({ identifier, name, scopes }: ResourceDraft): void {
  const flaws = {
    '/identifier': isResource(identifier) ? undefined : 'a resource is an absolute URI without fragment',
    '/name': label.test(name) ? undefined : 'write 1 to 100 characters',
    '/scopes': scopesFlaw(scopes),
  };
  const fields = Object.fromEntries(Object.entries(flaws).filter((entry): entry is [string, string] => entry[1] !== undefined));
  if (Object.keys(fields).length > 0) throw new Fault('resource_invalid', { fields });
}

function scopesFlaw(scopes: readonly ResourceScope[]): string | undefined {
  const names = scopes.map(({ name }) => name);
  if (names.length > mostScopes) return `there are more than ${mostScopes}`;
  if (!names.every(isScope)) return 'a scope is not well formed';
  if (names.some((name) => Object.hasOwn(ownScopes, name))) return `these have a meaning already: ${Object.keys(ownScopes).join(', ')}`;
  if (new Set(names).size < names.length) return 'a scope is there twice';
  return scopes.every(({ tells }) => words.test(tells)) ? undefined : 'say in 1 to 200 characters what each scope lets a client do';
}

async function add(deps: IssuerGround, tx: Writing, by: Principal, draft: ResourceDraft): Promise<ResourceId> {
  judgeResource(draft);
  const now = deps.clock.now();
  const id = newId('rsc', now);
  const { identifier, name } = draft;
  const row = { id, organization_id: by.organization, created_at: now, identifier, identifier_hash: sha256(identifier) };
  await insertResource(tx, { ...row, ...columnsOf(draft) }).catch(refuseTaken);
  await deps.audit.record(tx, { name: 'resource.added', principal: by, fields: { resource: id, identifier, name } });
  await tx.bump('issuing');
  return id;
}

function refuseTaken(cause: unknown): never {
  if (!isUniqueViolation(cause)) throw cause;
  throw new Fault('resource_invalid', { cause, fields: { '/identifier': 'it is registered already' } });
}

interface Version {
  readonly id: ResourceId;
  readonly version: number;
}

/** Everything but its identifier. @throws {Fault} `conflict` when somebody else changed it meanwhile */
async function change(deps: IssuerGround, tx: Writing, by: Principal, { id, version }: Version, draft: ResourceDraft): Promise<ResourceId> {
  judgeResource(draft);
  if (!(await changeResource(tx, { organization: by.organization, id, version }, columnsOf(draft)))) throw new Fault('conflict');
  const { identifier, name } = draft;
  await deps.audit.record(tx, { name: 'resource.changed', principal: by, fields: { resource: id, identifier, name } });
  await tx.bump('issuing');
  return id;
}

/** No new token is for it, whatever was granted, unless a client names it itself. */
async function remove(deps: IssuerGround, by: Principal, id: ResourceId): Promise<void> {
  await deps.records.in(by.organization).write(async (tx) => {
    if (!(await deleteResource(tx, by.organization, id))) throw new Fault('resource_unknown');
    await deps.audit.record(tx, { name: 'resource.removed', principal: by, fields: { resource: id } });
    await tx.bump('issuing');
  });
}

function columnsOf({ name, scopes, tokenFormat, algorithm, open }: ResourceDraft) {
  return { name, scopes_json: JSON.stringify(scopes), token_format: tokenFormat, algorithm, is_open: open ? 1 : 0 };
}

function resourceOf(row: ResourceRow): Resource {
  return Object.freeze({
    id: row.id,
    identifier: row.identifier,
    name: row.name,
    scopes: JSON.parse(row.scopes_json) as readonly ResourceScope[],
    tokenFormat: known<TokenFormatName>(tokenFormatNames, row.token_format),
    algorithm: known<TokenAlgorithmName>(tokenAlgorithmNames, row.algorithm),
    open: row.is_open === 1,
    createdAt: row.created_at,
    version: row.version,
  });
}

/** What a later release wrote and this one does not know is no reason to guess. @throws {Fault} `internal` */
function known<T extends string>(names: readonly T[], name: string): T {
  const found = names.find((one) => one === name);
  if (found === undefined) throw new Fault('internal', { cause: new Error(`a resource has the unknown property ${name}`) });
  return found;
}
