import { Fault, type OrganizationId, type Principal } from '#kernel';
import { cacheByGeneration, isUniqueViolation, sha256, type Writing } from '#store';
import type { DetailsType, DetailsTypes } from './contract.ts';
import type { IssuerGround } from './deps.ts';
import { deleteDetailsType, detailsTypesOf, insertDetailsType } from './details-types.sql.ts';

const mostTypes = 100;
const mostFields = 50;
const words = /^[^\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]{1,200}$/u;
const shape = /^[\x21-\x7e]{1,200}$/;

/** Types of authorization details (RFC 9396 §2): rows, and a cache that forgets at every change of the topic `issuing`. */
export function createDetailsTypes(deps: IssuerGround): DetailsTypes & { close(): void } {
  const { records, changes } = deps;
  const known = cacheByGeneration<ReadonlyMap<string, DetailsType>>(changes, 'issuing', 1_000);

  return Object.freeze({
    judge: judgeType,
    async registered(organization: OrganizationId) {
      const load = async () => {
        const rows = await records.in(organization).read((tx) => detailsTypesOf(tx, organization));
        return new Map(rows.map((row) => [row.type, JSON.parse(row.definition_json) as DetailsType]));
      };
      return (await known.get(organization, load)) as ReadonlyMap<string, DetailsType>;
    },
    add: (tx: Writing, by: Principal, type: DetailsType) => add(deps, tx, by, type),
    remove: (by: Principal, type: string) => remove(deps, by, type),
    close: () => known.close(),
  });
}

/** @throws {Fault} `invalid_request` with a sentence per field */
function judgeType({ type, tells, fields }: DetailsType): void {
  const names = Object.keys(fields);
  const flaws = {
    '/type': shape.test(type) ? undefined : 'a type is 1 to 200 characters without spaces',
    '/tells': words.test(tells) ? undefined : 'say in 1 to 200 characters what it lets a client do',
    '/fields':
      names.length <= mostFields && names.every(isField) ? fieldsFlaw(Object.values(fields)) : 'a field is named as in JSON, not type',
  };
  const wrong = Object.fromEntries(Object.entries(flaws).filter((entry): entry is [string, string] => entry[1] !== undefined));
  if (Object.keys(wrong).length > 0) throw new Fault('invalid_request', { fields: wrong });
}

function isField(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/.test(name) && name !== 'type' && !(name in {});
}

function fieldsFlaw(fields: readonly DetailsType['fields'][string][]): string | undefined {
  return fields.every(({ tells }) => words.test(tells)) ? undefined : 'say in 1 to 200 characters what each field is';
}

async function add(deps: IssuerGround, tx: Writing, by: Principal, definition: DetailsType): Promise<string> {
  judgeType(definition);
  const { type } = definition;
  if ((await detailsTypesOf(tx, by.organization)).length >= mostTypes)
    throw new Fault('conflict', { detail: 'There are 100 types already' });
  const row = { organization_id: by.organization, created_at: deps.clock.now(), type, type_hash: sha256(type) };
  await insertDetailsType(tx, { ...row, definition_json: JSON.stringify(definition) }).catch((cause: unknown) => {
    if (!isUniqueViolation(cause)) throw cause;
    throw new Fault('conflict', { cause, detail: 'There is a type of this name', hint: 'remove it first' });
  });
  await deps.audit.record(tx, { name: 'details_type.added', principal: by, fields: { type } });
  await tx.bump('issuing');
  return type;
}

/** No request may hold it from now on; what was granted goes on until its grant ends. */
async function remove(deps: IssuerGround, by: Principal, type: string): Promise<void> {
  await deps.records.in(by.organization).write(async (tx) => {
    if (!(await deleteDetailsType(tx, by.organization, sha256(type)))) throw new Fault('not_found');
    await deps.audit.record(tx, { name: 'details_type.removed', principal: by, fields: { type } });
    await tx.bump('issuing');
  });
}
