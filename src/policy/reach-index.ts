import { type CompiledPattern, compilePattern, couldMatchPattern, matchPattern, type RiskClass, riskClasses } from '#api';
import type { Facts, Permission, Question } from './contract.ts';

/** Risk classes as bits, and one bit for a call that no operation of the catalogue matches. */
export type Needs = number;

const bits = new Map<RiskClass, Needs>(riskClasses.map((name, index) => [name, 1 << index]));
const unclassified: Needs = 1 << riskClasses.length;
const everyNeed: Needs = (unclassified << 1) - 1;
export const mintCredential: Needs = bits.get('mint-credential') ?? 0;

/** A permission, ready to be compared with a question. */
export interface Rule {
  readonly permission: Permission;
  readonly classes: Needs;
  readonly operations: ReadonlySet<string>;
  readonly patterns: readonly CompiledPattern[];
}

/** What facts say of one connection. */
export interface Bucket {
  readonly allow: readonly Rule[];
  readonly deny: readonly Rule[];
}

/** The classes a call needs: those of its operation, or the bit of a call that has none (SECURITY 9). */
export function needsOf({ operation }: Question): Needs {
  return operation === undefined || operation.classes.length === 0 ? unclassified : bitsOf(operation.classes);
}

/** The classes these needs name, for people. */
export function classesOf(needs: Needs): readonly RiskClass[] {
  return riskClasses.filter((name) => (needs & (bits.get(name) ?? 0)) !== 0);
}

/**
 * Which needs of the call the permission's reach gives. `mint-credential` comes of its own class or of a named
 * operation only; a call that could be read in two ways is reached by `everything` only.
 */
export function given({ permission, classes, operations, patterns }: Rule, { call, operation, ambiguous }: Question): Needs {
  if (!ambiguous && operation !== undefined && operations.has(operation.id)) return everyNeed;
  const byClass = ambiguous || operation === undefined ? 0 : classes;
  const byHost = permission.reach.everything || (!ambiguous && patterns.some((pattern) => matchPattern(pattern, call.method, call.path)));
  return byHost ? byClass | (everyNeed & ~mintCredential) : byClass;
}

/**
 * Whether a deny's reach catches the call. Where the call is not certain the deny wins: any of several classes is enough,
 * a call without operation may be of any class, and a path counts in every form an upstream might read.
 */
export function catches({ permission, classes, operations, patterns }: Rule, { call, operation }: Question): boolean {
  if (permission.reach.everything) return true;
  if (operation === undefined ? classes !== 0 : (classes & bitsOf(operation.classes)) !== 0) return true;
  if (operation !== undefined && operations.has(operation.id)) return true;
  return patterns.some((pattern) => couldMatchPattern(pattern, call.method, call.path));
}

/** The rules about this connection, by itself or as one of its provider's. Indexed once for the same facts. */
export function rulesFor(facts: Facts, connection: Question['connection']): Bucket {
  let index = indexes.get(facts);
  if (index === undefined) {
    index = { allow: indexOf(facts.allow), deny: indexOf(facts.deny), buckets: new Map() };
    indexes.set(facts, index);
  }
  const known = index.buckets.get(connection.id);
  if (known !== undefined) return known;
  const bucket = { allow: about(index.allow, connection), deny: about(index.deny, connection) };
  index.buckets.set(connection.id, bucket);
  return bucket;
}

interface Index {
  readonly allow: ReadonlyMap<string, readonly Permission[]>;
  readonly deny: ReadonlyMap<string, readonly Permission[]>;
  readonly buckets: Map<string, Bucket>;
}

const indexes = new WeakMap<Facts, Index>();

function indexOf(permissions: readonly Permission[]): ReadonlyMap<string, readonly Permission[]> {
  return Map.groupBy(permissions, ({ target }) => `${target.kind} ${target.id}`);
}

function about(index: ReadonlyMap<string, readonly Permission[]>, connection: Question['connection']): readonly Rule[] {
  const own = index.get(`connection ${connection.id}`) ?? [];
  const provider = index.get(`provider ${connection.provider}`) ?? [];
  return [...own, ...provider].map(ruleOf);
}

function ruleOf(permission: Permission): Rule {
  const { classes, operations, patterns } = permission.reach;
  return { permission, classes: bitsOf(classes), operations: new Set(operations), patterns: patterns.map(compilePattern) };
}

function bitsOf(classes: readonly RiskClass[]): Needs {
  let mask = 0;
  for (const name of classes) mask |= bits.get(name) ?? 0;
  return mask;
}
