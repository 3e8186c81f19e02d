import { type Actor, type EventId, Fault, type OrganizationId, type Principal } from '#kernel';
import type { Draft, EventValue, RecordedEvent, Step } from './contract.ts';
import { type EventName, events } from './events.ts';

/** A draft that was noted, and when. */
export interface Noted {
  readonly draft: Draft;
  readonly id: EventId;
  readonly at: number;
}

/** An event that waits for its place in a chain: its canonical JSON, but for the sequence. */
export interface Prepared {
  readonly id: EventId;
  readonly organization: OrganizationId;
  readonly at: number;
  readonly name: EventName;
  readonly subject: string;
  readonly actor: string;
  readonly before: string;
  readonly after: string;
}

/** Form of the body; raised when the form changes, so that old chains stay verifiable. */
const version = 1;

/** The fields of each event in canonical order. */
const fieldsOf = new Map<string, readonly string[]>(Object.entries(events).map(([name, row]) => [name, [...row.fields].sort()]));

/**
 * Turns a draft into its canonical JSON: keys in order on every level, no spaces. A field that `events.ts` does not list
 * for the name, or a value that is not plain (a `Secret` above all), is a bug of the caller.
 * @throws {Fault} `internal`
 */
export function prepare({ draft, id, at }: Noted, writer: string): Prepared {
  const { principal, name } = draft;
  const { subject, actor, actors } = partiesOf(principal);
  const before =
    `{"actors":${actors},"at":${at}${optional('connection', draft.connection)},"fields":{${printFields(draft)}},"id":"${id}",` +
    `"name":"${name}","organization":"${principal.organization}"${optional('permission', draft.permission)}` +
    `${optional('request', draft.request)}${optional('run', draft.run)},"sequence":`;
  const after = `,"subject":"${subject}","version":${version},"writer":${quoted(writer)}}`;
  return { id, organization: principal.organization, at, name, subject, actor, before, after };
}

/** The whole body, once its place is known. */
export function bodyOf(prepared: Prepared, sequence: number): string {
  return `${prepared.before}${sequence}${prepared.after}`;
}

/** What a body tells. */
export function parseBody(body: string): RecordedEvent {
  const { version: _, ...event } = JSON.parse(body) as RecordedEvent & { readonly version: number };
  return event;
}

interface Parties {
  readonly subject: string;
  readonly actor: string;
  /** As JSON. */
  readonly actors: string;
}

const parties = new WeakMap<Principal, Parties>();

/** Remembered for as long as a principal lives: a run's is the same for all its calls. */
function partiesOf(principal: Principal): Parties {
  let known = parties.get(principal);
  if (known === undefined) {
    const actors = principal.actors.map(partyName);
    known = { subject: partyName(principal.subject), actor: actors.join(' '), actors: JSON.stringify(actors) };
    parties.set(principal, known);
  }
  return known;
}

/** `user:usr_…`, `agent:agt_…`, `operator` or `system`. */
function partyName(actor: Actor): string {
  return 'id' in actor ? `${actor.kind}:${actor.id}` : actor.kind;
}

const plainText = /^[ !#-[\]-~]*$/;

/** As `JSON.stringify`, which costs twice as much for text that needs no escape. */
function quoted(text: string): string {
  return plainText.test(text) ? `"${text}"` : JSON.stringify(text);
}

function optional(name: string, value: string | undefined): string {
  return value === undefined ? '' : `,"${name}":${quoted(value)}`;
}

function printFields({ name, fields }: Draft): string {
  const names = fieldsOf.get(name);
  if (names === undefined) throw misuse('there is no such event');
  let printed = '';
  let count = 0;
  for (const field of names) {
    const value = fields[field];
    if (value === undefined) continue;
    count += 1;
    printed += `${printed === '' ? '' : ','}"${field}":${printValue(value, name, field)}`;
  }
  let given = 0;
  for (const field in fields) if (fields[field] !== undefined) given += 1;
  if (given !== count) throw misuse(`${name} was given a field it does not have`);
  return printed;
}

function printValue(value: EventValue, name: string, field: string): string {
  if (typeof value === 'string') return quoted(value);
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw misuse(`${name} was given a number that is none in ${field}`);
    return String(value);
  }
  if (!Array.isArray(value)) throw misuse(`${name} was given a value that is not plain in ${field}`);
  return `[${value.map((item: string | Step) => printItem(item, name, field)).join(',')}]`;
}

function printItem(item: string | Step, name: string, field: string): string {
  if (typeof item === 'string') return quoted(item);
  if (!isStep(item)) throw misuse(`${name} was given a value that is not plain in ${field}`);
  return `{"ms":${item.ms},"step":"${item.step}"}`;
}

const steps = new Set(['identified', 'decided', 'opened', 'refreshed', 'dialled', 'recorded', 'injected', 'answered', 'finished']);

function isStep(item: Step): boolean {
  return typeof item === 'object' && item !== null && steps.has(item.step) && Number.isFinite(item.ms);
}

function misuse(detail: string): Fault {
  return new Fault('internal', { detail });
}
