import type { OrganizationId } from '#kernel';
import type { Reading, Writing } from '#store';

export interface Failures {
  readonly failures: number;
  readonly failed_at: number;
  readonly locked_until: number;
  readonly version: number;
}

export function failuresOf(tx: Reading, organization: OrganizationId, account: string): Promise<Failures | undefined> {
  return tx.db
    .selectFrom('login_failures')
    .select(['failures', 'failed_at', 'locked_until', 'version'])
    .where('organization_id', '=', organization)
    .where('account_hash', '=', account)
    .executeTakeFirst();
}

/** False if somebody counted meanwhile. @throws {UniqueViolation} when somebody counted first */
export async function storeFailures(
  tx: Writing,
  organization: OrganizationId,
  account: string,
  before: Failures | undefined,
  after: Omit<Failures, 'version'>,
): Promise<boolean> {
  if (before === undefined) {
    await tx.db
      .insertInto('login_failures')
      .values({ organization_id: organization, account_hash: account, ...after, version: 1 })
      .execute();
    return true;
  }
  const result = await tx.db
    .updateTable('login_failures')
    .set({ ...after, version: before.version + 1 })
    .where('organization_id', '=', organization)
    .where('account_hash', '=', account)
    .where('version', '=', before.version)
    .executeTakeFirst();
  return result.numUpdatedRows === 1n;
}

export async function forgetFailures(tx: Writing, organization: OrganizationId, account: string): Promise<void> {
  await tx.db.deleteFrom('login_failures').where('organization_id', '=', organization).where('account_hash', '=', account).execute();
}

export async function deleteFailuresBefore(tx: Writing, time: number): Promise<number> {
  const result = await tx.db.deleteFrom('login_failures').where('failed_at', '<', time).where('locked_until', '<', time).executeTakeFirst();
  return Number(result.numDeletedRows);
}
