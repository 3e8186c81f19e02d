import {
  AndNode,
  BinaryOperationNode,
  ColumnNode,
  type DeleteQueryNode,
  IdentifierNode,
  type InsertQueryNode,
  type JoinNode,
  OnNode,
  type OperationNode,
  OperatorNode,
  ParensNode,
  ReferenceNode,
  type RootOperationNode,
  type SelectQueryNode,
  TableNode,
  type UpdateQueryNode,
  ValueNode,
  WhereNode,
} from 'kysely';
import { isId, type OrganizationId } from '#kernel';
import { StoreMisuse } from './errors.ts';
import { tenantColumn } from './tenancy.ts';

/** Keeps the queries of one handle to one organization's rows. */
export interface Narrowing {
  /** The same query, over this organization's rows only. @throws {StoreMisuse} if it cannot be narrowed, or writes for another */
  narrow<T extends RootOperationNode>(node: T): T;
  /** @throws {StoreMisuse} unless `node` came out of `narrow` */
  check(node: OperationNode): void;
}

/** On a narrowed query: for whom. Not enumerable, so a copy with something added does not have it. */
const narrowedTo = Symbol('narrowed to');
type Stamped = OperationNode & { readonly [narrowedTo]?: OrganizationId };

type QueryNode = SelectQueryNode | UpdateQueryNode | DeleteQueryNode | InsertQueryNode;

/** A table as a query names it. */
interface Named {
  readonly table: string;
  readonly as: TableNode;
}

const leaves: ReadonlySet<string> = new Set([
  'ValueNode',
  'PrimitiveValueListNode',
  'IdentifierNode',
  'SchemableIdentifierNode',
  'TableNode',
  'ColumnNode',
  'ReferenceNode',
  'SelectAllNode',
  'OperatorNode',
  'DataTypeNode',
]);
const rememberedConditions = 200;
const equals = OperatorNode.create('=');
const queries: ReadonlySet<string> = new Set(['SelectQueryNode', 'UpdateQueryNode', 'DeleteQueryNode', 'InsertQueryNode']);
const joinsWithCondition: ReadonlySet<string> = new Set(['InnerJoin', 'LeftJoin', 'LateralInnerJoin', 'LateralLeftJoin']);
const joinsWithout: ReadonlySet<string> = new Set(['CrossJoin', 'LateralCrossJoin']);

/**
 * Narrowing to one organization, as a rewriting of the query tree: every table that has an organization gets
 * `table.organization_id = ?` where it is read, changed or deleted, in joins, subqueries, unions and common table
 * expressions too; every row inserted must carry the organization. What cannot be narrowed is refused. SQL text
 * inside a query is not read: a whole raw query is refused, a fragment must not name tables.
 */
export function narrowingTo(organization: OrganizationId): Narrowing {
  if (!isId('org', organization)) throw new StoreMisuse('rows are narrowed to an organization, by its id');
  return new OneOrganization(organization);
}

class OneOrganization implements Narrowing {
  readonly #organization: OrganizationId;
  readonly #value: ValueNode;
  readonly #conditions = new Map<string, readonly OperationNode[]>();

  constructor(organization: OrganizationId) {
    this.#organization = organization;
    this.#value = ValueNode.create(organization);
  }

  narrow<T extends RootOperationNode>(node: T): T {
    if (!queries.has(node.kind)) throw new StoreMisuse(`a ${node.kind} cannot be narrowed to one organization`);
    return this.#visit(node) as T;
  }

  check(node: OperationNode): void {
    if (!this.#isNarrowed(node)) throw new StoreMisuse('this query was not made for one organization, or for another one');
  }

  #isNarrowed(node: OperationNode): boolean {
    return (node as Stamped)[narrowedTo] === this.#organization;
  }

  readonly #visit = (node: OperationNode): OperationNode => {
    if (this.#isNarrowed(node)) return node;
    if (node.kind === 'MergeQueryNode') throw new StoreMisuse('a merge cannot be narrowed to one organization');
    const inner = visitChildren(node, this.#visit);
    if (!queries.has(inner.kind)) return inner;
    return stamp(this.#narrowQuery(inner as QueryNode), this.#organization);
  };

  #narrowQuery(node: QueryNode): QueryNode {
    switch (node.kind) {
      case 'SelectQueryNode':
        return this.#narrowRows(node, node.from?.froms ?? []);
      case 'UpdateQueryNode':
        return this.#narrowUpdate(node);
      case 'DeleteQueryNode':
        return this.#narrowRows(node, [...node.from.froms, ...(node.using?.tables ?? [])]);
      case 'InsertQueryNode':
        return this.#narrowInsert(node);
    }
  }

  #narrowUpdate(node: UpdateQueryNode): UpdateQueryNode {
    const tables = node.table === undefined ? [] : [node.table];
    for (const table of tables) this.#forbidMoving(named(table), node.updates);
    return this.#narrowRows(node, [...tables, ...(node.from?.froms ?? [])]);
  }

  /** Adds the conditions of `sources` and of joins without one to WHERE, those of the other joins to their ON. */
  #narrowRows<T extends SelectQueryNode | UpdateQueryNode | DeleteQueryNode>(node: T, sources: readonly OperationNode[]): T {
    const wanted: OperationNode[] = [];
    for (const source of sources) wanted.push(...this.#conditionsFor(named(source)));
    const joins = node.joins?.map((join) => this.#narrowJoin(join, wanted));
    const where = wanted.length === 0 ? node.where : WhereNode.create(both(node.where?.where, wanted));
    return { ...node, ...(joins === undefined ? undefined : { joins }), ...(where === undefined ? undefined : { where }) };
  }

  #narrowJoin(join: JoinNode, wanted: OperationNode[]): JoinNode {
    const own = this.#conditionsFor(named(join.table));
    if (own.length === 0) return join;
    if (joinsWithCondition.has(join.joinType)) return Object.freeze({ ...join, on: OnNode.create(both(join.on?.on, own)) });
    if (!joinsWithout.has(join.joinType)) throw new StoreMisuse(`a ${join.joinType} cannot be narrowed to one organization`);
    wanted.push(...own);
    return join;
  }

  /** `table.organization_id = ?`, if the table has an organization. Nodes are immutable, so one serves all queries. */
  #conditionsFor(found: Named | undefined): readonly OperationNode[] {
    if (found === undefined) return [];
    const key = `${found.table} ${found.as.table.schema?.name ?? ''} ${found.as.table.identifier.name}`;
    const known = this.#conditions.get(key);
    if (known !== undefined) return known;
    const column = tenantColumn(found.table);
    const made =
      column === undefined
        ? []
        : [BinaryOperationNode.create(ReferenceNode.create(ColumnNode.create(column), found.as), equals, this.#value)];
    if (this.#conditions.size < rememberedConditions) this.#conditions.set(key, made);
    return made;
  }

  #narrowInsert(node: InsertQueryNode): InsertQueryNode {
    const into = node.into === undefined ? undefined : named(node.into);
    const column = into === undefined ? undefined : tenantColumn(into.table);
    if (into === undefined || column === undefined) return node;
    if (node.replace === true || node.orAction !== undefined || node.onDuplicateKey !== undefined)
      throw new StoreMisuse('an insert that replaces rows cannot be narrowed to one organization');
    this.#checkInserted(node, column);
    if (node.onConflict?.updates === undefined) return node;
    this.#forbidMoving(into, node.onConflict.updates);
    const updateWhere = WhereNode.create(both(node.onConflict.updateWhere?.where, this.#conditionsFor(into)));
    return { ...node, onConflict: Object.freeze({ ...node.onConflict, updateWhere }) };
  }

  /** Every row carries this organization, as a plain value. */
  #checkInserted(node: InsertQueryNode, column: string): void {
    const index = node.columns?.findIndex((each) => each.column.name === column) ?? -1;
    const rows = node.values?.kind === 'ValuesNode' && 'values' in node.values ? (node.values.values as readonly OperationNode[]) : [];
    if (index < 0 || rows.length === 0 || !rows.every((row) => this.#carries(row, index)))
      throw new StoreMisuse('an inserted row must carry its own organization');
  }

  #carries(row: OperationNode, index: number): boolean {
    const cell: unknown = (row as { readonly values?: readonly unknown[] }).values?.[index];
    return row.kind === 'PrimitiveValueListNode' ? cell === this.#organization : this.#isOwn(cell as OperationNode);
  }

  #isOwn(node: OperationNode | undefined): boolean {
    return node?.kind === 'ValueNode' && (node as ValueNode).value === this.#organization;
  }

  #forbidMoving(found: Named | undefined, updates: UpdateQueryNode['updates']): void {
    const column = found === undefined ? undefined : tenantColumn(found.table);
    if (column === undefined) return;
    for (const update of updates ?? [])
      if (nameOf(update.column) === column && !this.#isOwn(update.value))
        throw new StoreMisuse('a row does not pass to another organization');
  }
}

function stamp(node: QueryNode, organization: OrganizationId): QueryNode {
  const copy = Object.isFrozen(node) ? { ...node } : node;
  return Object.freeze(Object.defineProperty(copy, narrowedTo, { value: organization }));
}

/** The table behind a source, under the name the query gives it. Undefined: a subquery, narrowed on its own. */
function named(source: OperationNode): Named | undefined {
  if (TableNode.is(source)) return { table: source.table.identifier.name, as: source };
  const { node, alias } = source as Partial<Record<'node' | 'alias', OperationNode>>;
  if (source.kind === 'AliasNode' && node !== undefined && alias !== undefined) {
    if (queries.has(node.kind)) return undefined;
    if (TableNode.is(node) && IdentifierNode.is(alias)) return { table: node.table.identifier.name, as: TableNode.create(alias.name) };
  }
  throw new StoreMisuse('rows of one organization come from tables and subqueries only');
}

/** The column that an update sets, also when it is written `table.column`. */
function nameOf(column: OperationNode): string | undefined {
  if (ColumnNode.is(column)) return column.column.name;
  return ReferenceNode.is(column) && ColumnNode.is(column.column) ? column.column.column.name : undefined;
}

/** What was there, in parentheses, and every condition. */
function both(existing: OperationNode | undefined, conditions: readonly OperationNode[]): OperationNode {
  const parts = existing === undefined ? conditions : [ParensNode.create(existing), ...conditions];
  return parts.reduce((left, right) => AndNode.create(left, right));
}

/** The node with every child visited; the same node if no child changed. */
function visitChildren(node: OperationNode, visit: (node: OperationNode) => OperationNode): OperationNode {
  let copy: Record<string, unknown> | undefined;
  for (const name in node) {
    const child: unknown = node[name as keyof OperationNode];
    if (typeof child !== 'object' || child === null) continue;
    const visited = Array.isArray(child) ? visitAll(child, visit) : isBranch(child) ? visit(child) : child;
    if (visited !== child) {
      copy ??= { ...node };
      copy[name] = visited;
    }
  }
  return copy === undefined ? node : (Object.freeze(copy) as unknown as OperationNode);
}

function visitAll(children: readonly unknown[], visit: (node: OperationNode) => OperationNode): readonly unknown[] {
  let copy: unknown[] | undefined;
  for (let index = 0; index < children.length; index++) {
    const child = children[index];
    if (!isBranch(child)) continue;
    const visited = visit(child);
    if (visited === child) continue;
    copy ??= [...children];
    copy[index] = visited;
  }
  return copy === undefined ? children : Object.freeze(copy);
}

/** A node that may hold a query. */
function isBranch(child: unknown): child is OperationNode {
  if (typeof child !== 'object' || child === null || !('kind' in child)) return false;
  return typeof child.kind === 'string' && !leaves.has(child.kind);
}
