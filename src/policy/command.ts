import type { PermissionId } from '#kernel';
import type { DenyReason, Question } from './contract.ts';
import { classesOf, mintCredential, needsOf } from './reach-index.ts';

const longestPath = 200;

/**
 * The command that would permit the call, as narrow as it can be. People copy it into a shell, and the path comes from
 * the agent: nothing but harmless characters gets into it.
 */
export function permittingCommand(reason: DenyReason, permission: PermissionId | undefined, question: Question): string {
  if (permission !== undefined && (reason === 'denied_by_rule' || reason === 'ambiguous')) return `gatehouse policy end ${permission}`;
  if (reason === 'level') return 'gatehouse run --isolate -- …';
  const { agent, connection } = question;
  return `gatehouse policy allow ${agent.handle} ${connection.provider}/${connection.name} ${reachFlags(question)}`;
}

function reachFlags(question: Question): string {
  if (question.ambiguous) return '--everything';
  const needs = needsOf(question);
  if ((needs & mintCredential) !== 0 && question.operation !== undefined) return `--operation ${harmless(question.operation.id)}`;
  const classes = classesOf(needs);
  if (classes.length > 0) return `--class ${classes.join(',')}`;
  return `--path '${harmless(question.call.method)} ${pathPattern(question.call.path)}'`;
}

/** The path as a pattern: a segment that is more than plain characters becomes `*`, and what is too long ends in `**`. */
function pathPattern(path: string): string {
  let pattern = '';
  for (const segment of path.split('/').slice(1)) {
    if (pattern.length + segment.length > longestPath) return `${pattern}/**`;
    pattern += `/${/^[A-Za-z0-9._~@:+=%-]*$/.test(segment) ? segment : '*'}`;
  }
  return pattern === '' ? '/' : pattern;
}

function harmless(text: string): string {
  return text.replace(/[^A-Za-z0-9._-]/g, '');
}
