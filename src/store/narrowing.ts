import type { OperationNode, RootOperationNode } from 'kysely';
import type { OrganizationId } from '#kernel';

/** Keeps the queries of one handle to one organization's rows. */
export interface Narrowing {
  /** The same query, over this organization's rows only. @throws {StoreMisuse} if it cannot be narrowed, or writes for another */
  narrow<T extends RootOperationNode>(node: T): T;
  /** @throws {StoreMisuse} unless `node` came out of `narrow` */
  check(node: OperationNode): void;
}

export function narrowingTo(_organization: OrganizationId): Narrowing {
  return { narrow: (node) => node, check() {} };
}
