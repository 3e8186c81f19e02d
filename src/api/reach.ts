import { Fault } from '#kernel';
import { compilePattern } from './pattern.ts';
import { type Pattern, patternSchema, type Reach, type RiskClass, reachSchema, riskClasses } from './vocabulary.ts';

const operationShape = /^[a-z0-9][a-z0-9._-]{0,127}$/;
const methodShape = /^[A-Z]{1,20}$/;

/**
 * Parses how far a permission reaches, as people type it: parts separated by commas.
 *
 * - `read`, `write`, … a risk class
 * - `op:issues.create` one operation of the provider
 * - `GET /repos/**`, `GET|POST /issues`, `/anything` methods (none: any) and a path pattern
 * - `everything` the whole host (still without `mint-credential`)
 *
 * @example parseReach('read,op:issues.create,GET /repos/**')
 * @throws {Fault} `invalid_request`, naming the position of the part that is not understood
 */
export function parseReach(text: string): Reach {
  const parts = text.split(',').map((part) => part.trim());
  const reach = { classes: new Set<RiskClass>(), operations: new Set<string>(), patterns: new Map<string, Pattern>(), everything: false };
  parts.forEach((part, index) => {
    if (part === 'everything') reach.everything = true;
    else if (isRiskClass(part)) reach.classes.add(part);
    else if (part.startsWith('op:')) reach.operations.add(parseOperation(part.slice(3), index));
    else {
      const pattern = parsePattern(part, index);
      reach.patterns.set(printPattern(pattern), pattern);
    }
  });
  const { everything } = reach;
  return checkReach({ classes: [...reach.classes], operations: [...reach.operations], patterns: [...reach.patterns.values()], everything });
}

/** Prints a reach so that `parseReach` gives it back (parts in a fixed order, none twice). */
export function printReach(reach: Reach): string {
  const parts = [
    ...(reach.everything ? ['everything'] : []),
    ...riskClasses.filter((name) => reach.classes.includes(name)),
    ...[...new Set(reach.operations)].map((operation) => `op:${operation}`),
    ...new Set(reach.patterns.map(printPattern)),
  ];
  return parts.join(',');
}

/** Checks what the schema cannot say: that there is a part, and that every pattern is well-formed. @throws {Fault} `invalid_request` */
export function checkReach(reach: Reach): Reach {
  const checked = reachSchema.safeParse(reach);
  if (!checked.success) throw new Fault('invalid_request', { detail: 'the reach has too many parts, or one that is not well-formed' });
  const { classes, operations, patterns, everything } = checked.data;
  if (classes.length + operations.length + patterns.length === 0 && !everything) {
    throw new Fault('invalid_request', { detail: 'the reach is empty' });
  }
  for (const pattern of patterns) compilePattern(pattern);
  return checked.data;
}

function isRiskClass(text: string): text is RiskClass {
  return (riskClasses as readonly string[]).includes(text);
}

function parseOperation(text: string, index: number): string {
  if (!operationShape.test(text)) throw notUnderstood(index);
  return text;
}

/** `GET|POST /path`, `GET /path` or `/path`. */
function parsePattern(text: string, index: number): Pattern {
  const [, methods = '', path = ''] = /^(?:(\S+)\s+)?(\/\S*)$/.exec(text) ?? [];
  const pattern = patternSchema.safeParse({ methods: methods === '' || methods === '*' ? [] : [...new Set(methods.split('|'))], path });
  if (!pattern.success || !pattern.data.methods.every((method) => methodShape.test(method))) throw notUnderstood(index);
  compilePattern(pattern.data);
  return pattern.data;
}

function printPattern(pattern: Pattern): string {
  return pattern.methods.length === 0 ? pattern.path : `${pattern.methods.join('|')} ${pattern.path}`;
}

function notUnderstood(index: number): Fault {
  return new Fault('invalid_request', {
    detail: `part ${index + 1} of the reach is not understood`,
    hint: 'write classes (read, write, delete, …), op:NAME, GET /path/**, or everything, separated by commas',
  });
}
