import { permittingCommand } from './command.ts';
import type { Decision, DenyReason, Facts, Permission, Question } from './contract.ts';
import { catches, given, mintCredential, type Needs, needsOf, type Rule, rulesFor } from './reach-index.ts';

/**
 * May this agent make this call with this connection? Pure: the same facts and question give the same decision.
 *
 * 1. A live deny that catches the call wins over every allow; so does any live deny when the call is ambiguous, because
 *    nobody can say what it does not catch.
 * 2. Live allows that reach the call give it what it needs; together they must give all of it.
 * 3. Otherwise it is denied, and the reason says what was nearest to allowing it.
 */
export function decide(facts: Facts, question: Question): Decision {
  const { allow, deny } = rulesFor(facts, question.connection);
  for (const rule of deny) {
    const reason = caughtBy(rule, question);
    if (reason !== undefined) return refusal(reason, rule, question);
  }
  const chosen = cover(allow, question, applies);
  return chosen === undefined ? explainRefusal(allow, question) : allowance(chosen);
}

/** Why a deny catches the call; undefined when it does not. */
export function caughtBy(rule: Rule, question: Question): DenyReason | undefined {
  const { permission } = rule;
  if (hasEnded(permission, question) || !namesAgent(permission, question)) return undefined;
  if (catches(rule, question)) return 'denied_by_rule';
  return question.ambiguous ? 'ambiguous' : undefined;
}

/** Whether an allow counts for this agent, now, at this level. */
export function applies(rule: Rule, question: Question): boolean {
  const { permission } = rule;
  return covers(permission, question) && !hasEnded(permission, question) && levelHolds(permission, question);
}

/** An allow for all of an owner's agents covers those that the owner has confirmed (SECURITY 22). */
export function covers(permission: Permission, question: Question): boolean {
  return namesAgent(permission, question) && (permission.agent !== undefined || question.agent.confirmed);
}

/** A deny for all of an owner's agents covers each of them, confirmed or not. */
function namesAgent({ agent, owner }: Permission, question: Question): boolean {
  if (agent !== undefined) return agent === question.agent.id;
  return owner !== undefined && owner === question.agent.owner;
}

export function hasEnded({ expiresAt, endedAt }: Permission, question: Question): boolean {
  return (expiresAt !== undefined && expiresAt <= question.at) || (endedAt !== undefined && endedAt <= question.at);
}

export function levelHolds({ level }: Permission, question: Question): boolean {
  return level === undefined || question.level === 'separated';
}

type Counts = (rule: Rule, question: Question) => boolean;

/**
 * Allows that together give everything the call needs: one if one is enough (the longest-lived of those, so that a call
 * goes on while any of them holds), else as many as it takes.
 */
function cover(rules: readonly Rule[], question: Question, counts: Counts): readonly Rule[] | undefined {
  const needs = needsOf(question);
  let best: Rule | undefined;
  let gathered: Needs = 0;
  for (const rule of rules) {
    const gives = given(rule, question) & needs;
    if (gives === 0 || !counts(rule, question)) continue;
    gathered |= gives;
    if (gives === needs && (best === undefined || isWider(rule.permission, best.permission))) best = rule;
  }
  if (best !== undefined) return [best];
  return gathered === needs ? gather(rules, question, counts) : undefined;
}

/** One allow for each need that is still open, in order. */
function gather(rules: readonly Rule[], question: Question, counts: Counts): readonly Rule[] {
  const chosen: Rule[] = [];
  let open = needsOf(question);
  for (const rule of rules.toSorted((a, b) => (isWider(a.permission, b.permission) ? -1 : 1))) {
    if ((given(rule, question) & open) === 0 || !counts(rule, question)) continue;
    chosen.push(rule);
    open &= ~given(rule, question);
  }
  return chosen;
}

/** Which of two allows that both suffice decides: it lets the agent's own credential pass, it lives longer, it is older. */
function isWider(a: Permission, b: Permission): boolean {
  if (a.passCredential !== b.passCredential) return a.passCredential;
  const [endA, endB] = [a.expiresAt ?? Number.POSITIVE_INFINITY, b.expiresAt ?? Number.POSITIVE_INFINITY];
  return endA === endB ? a.id < b.id : endA > endB;
}

function allowance(chosen: readonly Rule[]): Decision {
  const permissions = chosen.map((rule) => rule.permission);
  const ends = permissions.flatMap(({ expiresAt }) => (expiresAt === undefined ? [] : [expiresAt]));
  return {
    effect: 'allow',
    permission: (permissions[0] as Permission).id,
    passCredential: permissions.every((permission) => permission.passCredential),
    expiresAt: ends.length === 0 ? undefined : Math.min(...ends),
  };
}

/** What one step away from the rules would have allowed it names the reason. */
function explainRefusal(allow: readonly Rule[], question: Question): Decision {
  const ours = allow.filter((rule) => covers(rule.permission, question));
  const tooLow = cover(ours, question, (rule) => !hasEnded(rule.permission, question));
  if (tooLow !== undefined)
    return refusal(
      'level',
      tooLow.find((rule) => !levelHolds(rule.permission, question)),
      question,
    );
  const tooLate = cover(ours, question, () => true);
  if (tooLate !== undefined)
    return refusal(
      'ended',
      tooLate.find((rule) => hasEnded(rule.permission, question)),
      question,
    );
  if (question.ambiguous) return refusal('ambiguous', undefined, question);
  const minting = (needsOf(question) & mintCredential) !== 0;
  return refusal(minting ? 'mint_credential' : 'no_permission', undefined, question);
}

function refusal(reason: DenyReason, rule: Rule | undefined, question: Question): Decision {
  const permission = rule?.permission.id;
  return { effect: 'deny', reason, permission, command: permittingCommand(reason, permission, question) };
}
