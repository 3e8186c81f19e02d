import { type ClientId, Fault, newId, type OrganizationId, type Principal, parseId, type TrustedIssuerId } from '#kernel';
import { cacheByGeneration, pageLimit, pageOf, rowOfCursor, type Writing } from '#store';
import { keySetFlaw } from './client-metadata.ts';
import type { TrustedIssuer, TrustedIssuerDraft, TrustedIssuers } from './contract.ts';
import type { IssuerGround } from './deps.ts';
import {
  deleteTrustedIssuer,
  insertTrustedIssuer,
  type TrustedIssuerRow,
  trustedIssuerBy,
  trustedIssuersOf,
  trustedIssuersPage,
} from './trusted-issuers.sql.ts';

const mostOfClient = 50;

/** Whose assertions an organization takes for tokens (RFC 7523 §3): rows, and a cache that forgets at every change of `issuing`. */
export function createTrustedIssuers(deps: IssuerGround): TrustedIssuers & { close(): void } {
  const { records, changes } = deps;
  const known = cacheByGeneration<readonly TrustedIssuer[]>(changes, 'issuing', 1_000);
  return Object.freeze({
    judge: judgeTrust,
    add: (tx: Writing, by: Principal, draft: TrustedIssuerDraft) => add(deps, tx, by, draft),
    async list(organization: OrganizationId, query: { readonly text?: string; readonly cursor?: string; readonly limit: number }) {
      const limit = pageLimit(query.limit);
      const before = query.cursor === undefined ? undefined : rowOfCursor(query.cursor);
      const page = { text: query.text, before, limit };
      return pageOf(await records.in(organization).read((tx) => trustedIssuersPage(tx, organization, page)), limit, trustOf);
    },
    async find(organization: OrganizationId, id: string) {
      const wanted = idOf(id);
      const row = await records.in(organization).read((tx) => trustedIssuerBy(tx, organization, wanted));
      if (row === undefined) throw new Fault('not_found');
      return trustOf(row);
    },
    async remove(by: Principal, id: string) {
      const wanted = idOf(id);
      await records.in(by.organization).write(async (tx) => {
        if (!(await deleteTrustedIssuer(tx, by.organization, wanted))) throw new Fault('not_found');
        await deps.audit.record(tx, { name: 'trust.removed', principal: by, fields: { trust: wanted } });
        await tx.bump('issuing');
      });
    },
    async of(organization: OrganizationId, client: ClientId) {
      const load = () => records.in(organization).read((tx) => trustedIssuersOf(tx, organization, client));
      return (await known.get(`${organization} ${client}`, async () => (await load()).map(trustOf))) ?? [];
    },
    close: () => known.close(),
  });
}

function idOf(given: string): TrustedIssuerId {
  const id = parseId('tri', given);
  if (id === undefined) throw new Fault('not_found');
  return id;
}

async function add(deps: IssuerGround, tx: Writing, by: Principal, draft: TrustedIssuerDraft): Promise<TrustedIssuerId> {
  judgeTrust(draft);
  const { issuer, keys, client, user, subjects, claims } = draft;
  if ((await trustedIssuersOf(tx, by.organization, client)).length >= mostOfClient)
    throw new Fault('invalid_request', { fields: { '/client': `it has ${mostOfClient}, and no more are taken` } });
  const now = deps.clock.now();
  const id = newId('tri', now);
  await insertTrustedIssuer(tx, {
    id,
    organization_id: by.organization,
    created_at: now,
    issuer,
    keys_json: JSON.stringify(keys),
    client_id: client,
    user_id: user ?? null,
    subjects_json: JSON.stringify(subjects),
    claims_json: JSON.stringify(claims),
  });
  const fields = { trust: id, issuer, client, user: user ?? null, subjects };
  await deps.audit.record(tx, { name: 'trust.added', principal: by, fields });
  await tx.bump('issuing');
  return id;
}

/** @throws {Fault} `invalid_request` with a sentence per field */
function judgeTrust({ issuer, keys, subjects, claims }: TrustedIssuerDraft): void {
  const flaws = {
    '/issuer': issuerFlaw(issuer),
    '/jwks': keys.kind === 'jwks' ? (keys.keys.length === 0 ? 'there is no key' : keySetFlaw(keys.keys)) : undefined,
    '/jwks_uri': keys.kind === 'jwks_uri' && !isWebAddress(keys.uri) ? 'write an https URL' : undefined,
    '/subjects': subjectsFlaw(subjects),
    '/claims': Object.keys(claims).length > 20 ? 'there are more than 20' : undefined,
  };
  const fields = Object.fromEntries(Object.entries(flaws).filter((entry): entry is [string, string] => entry[1] !== undefined));
  if (Object.keys(fields).length > 0) throw new Fault('invalid_request', { fields });
}

function issuerFlaw(issuer: string): string | undefined {
  return isWebAddress(issuer) && !/[?#]/.test(issuer) ? undefined : 'write the exact issuer: an https URL without query and fragment';
}

/** https; http where the operator opened the address, which is judged when it is fetched. */
function isWebAddress(text: string): boolean {
  if (text.length > 512 || !/^https?:\/\/[\x21-\x7e]+$/.test(text) || !URL.canParse(text)) return false;
  const { username, password, protocol, hostname } = new URL(text);
  return username === '' && password === '' && (protocol === 'https:' || ['localhost', '127.0.0.1', '[::1]'].includes(hostname));
}

/** A whole subject, or its beginning up to a `:` or `/`, so that no other name can begin the same way. */
function subjectsFlaw(subjects: readonly string[]): string | undefined {
  if (subjects.length === 0 || subjects.length > 50) return 'name 1 to 50 subjects';
  const good = (subject: string) => /^[^*\p{Cc}]{1,255}$/u.test(subject) || /^[^*\p{Cc}]{1,254}[:/]\*$/u.test(subject);
  return subjects.every(good) ? undefined : 'write a whole subject, or its beginning up to : or / and then *';
}

export function subjectFits(subject: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => (pattern.endsWith('*') ? subject.startsWith(pattern.slice(0, -1)) : subject === pattern));
}

function trustOf(row: TrustedIssuerRow): TrustedIssuer {
  return Object.freeze({
    id: row.id,
    organization: row.organization_id,
    createdAt: row.created_at,
    issuer: row.issuer,
    keys: JSON.parse(row.keys_json) as TrustedIssuer['keys'],
    client: row.client_id,
    user: row.user_id ?? undefined,
    subjects: JSON.parse(row.subjects_json) as string[],
    claims: JSON.parse(row.claims_json) as Record<string, string>,
  });
}
