import { Fault, newId, type OrganizationId, type Principal, parseId, type Secret } from '#kernel';
import { isUniqueViolation, pageLimit, pageOf, rowOfCursor, sha256, type Writing } from '#store';
import { clientNameShape, hashFlaw } from './client-metadata.ts';
import type { RegistrationToken, RegistrationTokenDraft, RegistrationTokens } from './contract.ts';
import type { IssuerGround } from './deps.ts';
import {
  endRegistrationToken,
  insertRegistrationToken,
  type RegistrationTokenRow,
  registrationTokenBy,
  registrationTokensPage,
} from './registration-tokens.sql.ts';

/** Initial access tokens of the organizations (RFC 7591 §3). */
export function createRegistrationTokens(deps: IssuerGround): RegistrationTokens {
  const { records, clock, audit } = deps;
  const judge = (draft: RegistrationTokenDraft) => judgeToken(draft, clock.now());
  return Object.freeze({
    judge,
    async add(tx: Writing, by: Principal, draft: RegistrationTokenDraft) {
      judge(draft);
      const { name, hash, uses = null, expiresAt = null } = draft;
      const now = clock.now();
      const id = newId('rgt', now);
      const row = { id, organization_id: by.organization, created_at: now, name, token_hash: hash, uses_left: uses, expires_at: expiresAt };
      await insertRegistrationToken(tx, row).catch(refuseTaken);
      await audit.record(tx, { name: 'registration_token.added', principal: by, fields: { token: id, name, uses, expires_at: expiresAt } });
      return id;
    },
    async list(organization: OrganizationId, query: { readonly text?: string; readonly cursor?: string; readonly limit: number }) {
      const limit = pageLimit(query.limit);
      const before = query.cursor === undefined ? undefined : rowOfCursor(query.cursor);
      const page = { text: query.text, before, limit };
      return pageOf(await records.in(organization).read((tx) => registrationTokensPage(tx, organization, page)), limit, tokenOf);
    },
    async find(organization: OrganizationId, id: string) {
      const row = await records.in(organization).read((tx) => registrationTokenBy(tx, organization, 'id', id));
      return row === undefined ? undefined : tokenOf(row);
    },
    async end(by: Principal, given: string) {
      const id = parseId('rgt', given);
      if (id === undefined) throw new Fault('not_found');
      await records.in(by.organization).write(async (tx) => {
        if (!(await endRegistrationToken(tx, by.organization, id, clock.now()))) throw new Fault('not_found');
        await audit.record(tx, { name: 'registration_token.ended', principal: by, fields: { token: id } });
      });
    },
  });
}

/** The token as it stands; whether it is good any more is judged where a use of it is taken. */
export async function presentedToken(
  deps: IssuerGround,
  organization: OrganizationId,
  bearer: Secret<string>,
): Promise<RegistrationToken | undefined> {
  const hash = sha256(bearer.reveal());
  const row = await deps.records.in(organization).read((tx) => registrationTokenBy(tx, organization, 'token_hash', hash));
  return row === undefined ? undefined : tokenOf(row);
}

function judgeToken({ name, hash, uses, expiresAt }: RegistrationTokenDraft, now: number): void {
  const flaws = {
    '/name': clientNameShape.test(name) ? undefined : 'write 1 to 100 characters',
    '/token_sha256': hashFlaw(hash),
    '/uses': uses === undefined || uses > 0 ? undefined : 'write at least 1',
    '/expires_at': expiresAt === undefined || expiresAt > now ? undefined : 'name a time to come',
  };
  const fields = Object.fromEntries(Object.entries(flaws).filter((entry): entry is [string, string] => entry[1] !== undefined));
  if (Object.keys(fields).length > 0) throw new Fault('invalid_request', { fields });
}

function refuseTaken(cause: unknown): never {
  if (!isUniqueViolation(cause, 'registration_tokens.token_hash')) throw cause;
  throw new Fault('invalid_request', { cause, fields: { '/token_sha256': 'it is in use: make a new token' } });
}

function tokenOf(row: RegistrationTokenRow): RegistrationToken {
  return Object.freeze({
    id: row.id,
    name: row.name,
    createdAt: row.created_at,
    usedAt: row.used_at ?? undefined,
    usesLeft: row.uses_left ?? undefined,
    expiresAt: row.expires_at ?? undefined,
  });
}
