import type { Decision, Facts, Permission, Question } from './contract.ts';
import { caughtBy, covers, decide, hasEnded, levelHolds } from './decide.ts';
import { classesOf, given, needsOf, type Rule, rulesFor } from './reach-index.ts';

export interface Considered {
  readonly permission: Permission;
  readonly applies: boolean;
  readonly why: string;
}

export interface Explanation {
  readonly decision: Decision;
  readonly considered: readonly Considered[];
}

/** The decision, and for each permission about the connection why it did or did not count. */
export function explain(facts: Facts, question: Question): Explanation {
  const { allow, deny } = rulesFor(facts, question.connection);
  return {
    decision: decide(facts, question),
    considered: [...deny.map((rule) => explainDeny(rule, question)), ...allow.map((rule) => explainAllow(rule, question))],
  };
}

function explainDeny(rule: Rule, question: Question): Considered {
  const { permission } = rule;
  const reason = caughtBy(rule, question);
  if (reason === 'denied_by_rule') return { permission, applies: true, why: 'it denies the call' };
  if (reason !== undefined) return { permission, applies: true, why: 'the call could be read in two ways, so it may be what this denies' };
  return { permission, applies: false, why: hasEnded(permission, question) ? 'it has ended' : 'it does not reach the call' };
}

function explainAllow(rule: Rule, question: Question): Considered {
  const { permission } = rule;
  const against = whyNot(rule, question);
  if (against !== undefined) return { permission, applies: false, why: against };
  const missing = needsOf(question) & ~given(rule, question);
  const why = missing === 0 ? 'it allows the call' : `it reaches the call but does not give ${classesOf(missing).join(' and ')}`;
  return { permission, applies: true, why };
}

function whyNot(rule: Rule, question: Question): string | undefined {
  const { permission } = rule;
  if (!covers(permission, question)) {
    return permission.agent === undefined ? 'it covers only agents that their owner has confirmed' : 'it is for another agent';
  }
  if (hasEnded(permission, question)) return 'it has ended';
  if ((given(rule, question) & needsOf(question)) === 0) return whyOutOfReach(rule, question);
  return levelHolds(permission, question) ? undefined : 'it asks for a separated run';
}

function whyOutOfReach(rule: Rule, question: Question): string {
  if (question.ambiguous) return 'the call could be read in two ways, which only everything allows';
  const missing = classesOf(needsOf(question));
  if (missing.includes('mint-credential') && rule.permission.reach.everything)
    return 'mint-credential comes of its own class or a named operation only';
  if (missing.length === 0 && rule.classes !== 0) return 'no operation of the catalogue matches the call, so it has no class';
  return missing.length === 0 ? 'it does not reach the call' : `it does not give ${missing.join(' and ')}`;
}
