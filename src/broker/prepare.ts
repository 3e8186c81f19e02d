import { type Credential, injectionsFor, isPinned } from '#connect';
import type { Secret } from '#kernel';
import type { Chosen } from './choose.ts';
import type { Allowed, Alteration, Call, SlotValue } from './contract.ts';
import { type Effect, effectOf, injectPath, type PathSlot } from './injectors.ts';
import type { Found, Meaning } from './placeholders.ts';
import { brokerHeaders, type Place } from './places.ts';

/** A credential made ready for one entry of a provider: what can be said before a call is there. */
export interface Prepared {
  /** Whether the owner of this very credential agreed to its being sent to the host (SECURITY 7). */
  isFor(host: string): boolean;
  readonly set: readonly SlotValue[];
  readonly paths: readonly PathSlot[];
  readonly replaces: readonly NonNullable<Effect['replace']>[];
  readonly scrub: readonly Secret<string>[];
  /** `header:authorization`, … for the record. */
  readonly slots: readonly string[];
  /** What most calls need, whole. */
  readonly alteration: Alteration;
  readonly expiresAt: number | undefined;
  readonly refreshable: boolean;
}

export interface Placed extends Found {
  readonly meaning: Meaning;
}

export type Fitted = Pick<Allowed, 'alteration' | 'scrub'> & { readonly slots: readonly string[] };

/** Values shorter than this stand in too many answers by chance to be masked. */
const shortestScrubbed = 4;

/** @throws {Fault} `credential_unavailable` when the credential lacks a part */
export function prepare({ match, connection }: Chosen, credential: Credential, place: Place): Prepared {
  const injections = injectionsFor(match.provider, match.entry, connection.kind);
  const effects = injections.map((injection) => effectOf(injection, credential.parts));
  const open = openParts(match.provider, connection.kind, credential);
  const set = effects.flatMap((effect) => effect.set ?? []);
  return Object.freeze({
    isFor: (host: string) => isPinned(credential, match.entry, host),
    set,
    paths: effects.flatMap((effect) => effect.path ?? []),
    replaces: effects.flatMap((effect) => effect.replace ?? []),
    scrub: effects.flatMap((effect) => effect.scrub).filter((one) => !open.has(one) && one.reveal().length >= shortestScrubbed),
    slots: effects.map((effect) => effect.slot),
    alteration: Object.freeze({ clear: place.clear, set, replace: [] }),
    expiresAt: credential.expiresAt,
    refreshable: credential.refreshable,
  });
}

/** Parts that are no secret (a user name, a client id): masking them would only damage answers. */
function openParts(provider: Chosen['match']['provider'], kind: string, { parts }: Credential): ReadonlySet<Secret<string>> {
  const auth = provider.auth.find((one) => one.kind === kind);
  const names = auth?.kind === 'api_key' ? auth.fields.filter((field) => !field.secret).map((field) => field.name) : ['client_id'];
  return new Set(names.flatMap((name) => (Object.hasOwn(parts, name) ? (parts[name] ?? []) : [])));
}

/**
 * What the call gets: the prepared values, the path with its credential, and the placeholders that may be replaced.
 * `misplaced` when a placeholder stands anywhere else than in a slot that is cleared or named (SECURITY 8).
 */
export function fitCall(prepared: Prepared, call: Call, placed: readonly Placed[], provider: string, place: Place): Fitted | 'misplaced' {
  if (placed.length === 0 && prepared.paths.length === 0) {
    return { alteration: prepared.alteration, scrub: prepared.scrub, slots: prepared.slots };
  }
  const path = prepared.paths.map((slot) => injectPath(call.path, slot)).find((one) => one !== undefined);
  const set: readonly SlotValue[] = path ? [...prepared.set, { slot: 'path', value: path }] : prepared.set;
  const replace: Alteration['replace'][number][] = [];
  for (const one of placed) {
    const fitting = prepared.replaces.find((each) => each.slots.includes(one.slot) && means(one.meaning, provider, each.part, prepared));
    if (fitting) replace.push({ placeholder: one.text, value: fitting.value, slots: fitting.slots });
    else if (!isCleared(one, call, place)) return 'misplaced';
  }
  return { alteration: { clear: place.clear, set, replace }, scrub: prepared.scrub, slots: prepared.slots };
}

/** A variable names a part of one way to authenticate; where only one value can be meant, the connection may be made by another. */
function means(meaning: Meaning, provider: string, part: string, { replaces }: Prepared): boolean {
  return meaning.uses.some((use) => use.provider === provider && (use.part === part || replaces.length === 1));
}

/** It stands in a slot that is emptied before anything is sent. */
function isCleared({ slot, name, text }: Placed, call: Call, { clear, pathShapes }: Place): boolean {
  if (slot === 'header' || slot === 'cookie') return clear.headers.includes(name);
  if (slot === 'query') return clear.query.some((one) => one.toLowerCase() === name);
  return pathShapes.some(({ pattern }) => pattern.test(call.path) && !call.path.replace(pattern, '').includes(text));
}

/** The agent brought a credential of its own: something other than a placeholder stands in a known slot. */
export function bringsOwnCredential(call: Call, place: Place, placed: readonly Placed[]): boolean {
  const ours = new Set(placed.map((one) => `${one.slot} ${one.name}`));
  const header = call.headers.some(([name]) => {
    const lower = name.toLowerCase();
    if (brokerHeaders.includes(lower) || !place.clear.headers.includes(lower)) return false;
    return !ours.has(`${lower === 'cookie' ? 'cookie' : 'header'} ${lower}`);
  });
  if (header) return true;
  const names = new Set(call.query.split(/[&;]/).map((part) => (part.split('=', 1)[0] as string).toLowerCase()));
  return place.clear.query.some((name) => names.has(name.toLowerCase()) && !ours.has(`query ${name.toLowerCase()}`));
}

/** Nothing is injected and nothing is scrubbed; only what is ours is taken out. */
export function untouched(clear: Alteration['clear'] = { headers: brokerHeaders, query: [], cookies: [] }): Fitted {
  return { alteration: { clear, set: [], replace: [] }, scrub: [], slots: [] };
}
