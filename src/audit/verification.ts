import { isFault, type OrganizationId } from '#kernel';
import { parseBody } from './body.ts';
import { link, origin } from './chain.ts';
import type { Checkpoints } from './checkpoints.ts';
import type { Verification } from './contract.ts';
import type { AuditQueries, ChainHead, CheckpointRow, EventRow } from './events.sql.ts';

interface Deps {
  readonly queries: AuditQueries;
  readonly checkpoints: Checkpoints;
}

type Judge = (checkpoint: CheckpointRow) => boolean;
type Break = Verification['breaks'][number];

/** What is known of a chain before it is walked. */
interface Chain {
  readonly organization: OrganizationId;
  readonly writer: string;
  readonly head: ChainHead | undefined;
  /** The last checkpoint. */
  readonly signed: number;
}

/** What is found while a chain is walked. */
interface Walk {
  readonly writer: string;
  events: number;
  sequence: number;
  hash: Uint8Array;
  lastGood: { readonly writer: string; readonly sequence: number; readonly at: number } | undefined;
  readonly breaks: Break[];
}

const pageSize = 500;
const mostBreaks = 100;

/**
 * Walks every chain of the organization from its first event: sequence without gap, hashes, the columns against the
 * bodies, the head, and every signed checkpoint. What it cannot see: the loss of a tail that no checkpoint covers
 * together with its head, and a forger who holds the audit key.
 */
export async function verifyOrganization(deps: Deps, organization: OrganizationId): Promise<Verification> {
  const { queries } = deps;
  // In this order, so that what is recorded meanwhile is never missed in one place and seen in the other.
  const writers = await queries.writers(organization);
  const signed = new Map<string, number>();
  for (const writer of writers) signed.set(writer, await queries.lastCheckpoint(organization, writer));
  const heads = new Map((await queries.heads(organization)).map((head) => [head.writer, head]));
  const judge = await judgeOf(deps, organization);
  const open = new Set<unknown>();
  const found = { events: 0, tail: 0, breaks: [] as Break[], checkpoints: [] as Verification['checkpoints'][number][] };
  for (const writer of writers) {
    const chain = { organization, writer, head: heads.get(writer), signed: signed.get(writer) ?? 0 };
    const walk = await walkChain(queries, chain, judge, open);
    found.events += walk.events;
    found.tail += walk.sequence - (walk.lastGood?.sequence ?? 0);
    found.breaks.push(...walk.breaks);
    if (walk.lastGood !== undefined) found.checkpoints.push(walk.lastGood);
  }
  return { ...found, writers: writers.length, holds: found.breaks.length === 0, unfinished: open.size };
}

/** A key that does not open judges no checkpoint good. */
async function judgeOf(deps: Deps, organization: OrganizationId): Promise<Judge | undefined> {
  try {
    return await deps.checkpoints.judge(organization);
  } catch (error) {
    if (isFault(error, 'sealed_value_unreadable')) return () => false;
    throw error;
  }
}

async function walkChain(queries: AuditQueries, chain: Chain, judge: Judge | undefined, open: Set<unknown>): Promise<Walk> {
  const { organization, writer, head } = chain;
  const walk: Walk = { writer, events: 0, sequence: 0, hash: origin, lastGood: undefined, breaks: [] };
  const signed = checkpointsOf(queries, chain);
  for (;;) {
    const rows = await queries.chain(organization, writer, walk.sequence, pageSize);
    for (const row of rows) {
      judgeRow(walk, row, head);
      followExchange(open, row);
      await signed.pass(walk, judge);
    }
    if (rows.length < pageSize) break;
  }
  await signed.end(walk);
  judgeEnd(walk, head);
  return walk;
}

function judgeRow(walk: Walk, row: EventRow, head: ChainHead | undefined): void {
  if (row.sequence !== walk.sequence + 1) note(walk, walk.sequence + 1, 'events are missing');
  if (!equal(row.previous_hash, walk.hash)) note(walk, row.sequence, 'does not follow the event before it');
  const hash = link(row.previous_hash, row.body_json);
  if (!equal(hash, row.hash)) note(walk, row.sequence, 'was changed');
  else if (!agrees(row)) note(walk, row.sequence, 'its columns do not say what was recorded');
  if (head?.sequence === row.sequence && !equal(head.hash, row.hash)) note(walk, row.sequence, 'is not what the head of the chain names');
  walk.events += 1;
  walk.sequence = row.sequence;
  walk.hash = row.hash;
}

/** The columns that are searched must say what the hashed body says. */
function agrees(row: EventRow): boolean {
  try {
    const body = parseBody(row.body_json);
    return (
      body.id === row.id &&
      body.organization === row.organization_id &&
      body.writer === row.writer &&
      body.sequence === row.sequence &&
      body.at === row.at &&
      body.name === row.name &&
      body.subject === row.subject &&
      body.actors.join(' ') === row.actor
    );
  } catch {
    return false;
  }
}

function judgeEnd(walk: Walk, head: ChainHead | undefined): void {
  if (head === undefined) note(walk, walk.sequence, 'the head of the chain is missing');
  else if (head.sequence > walk.sequence) note(walk, walk.sequence + 1, 'events are missing at the end');
}

/** The checkpoints of a chain, passed in step with its events. */
function checkpointsOf(queries: AuditQueries, chain: Chain) {
  let page: CheckpointRow[] = [];
  let passed = 0;

  async function next(): Promise<CheckpointRow | undefined> {
    if (passed >= chain.signed) return undefined;
    if (page.length === 0) page = await queries.checkpoints(chain.organization, chain.writer, passed, pageSize);
    return page[0];
  }

  return {
    /** Judges the checkpoint that the walk has reached, or missed. */
    async pass(walk: Walk, judge: Judge | undefined) {
      if (walk.sequence <= passed) return;
      for (let checkpoint = await next(); checkpoint !== undefined && checkpoint.sequence <= walk.sequence; checkpoint = await next()) {
        page.shift();
        passed = checkpoint.sequence;
        judgeCheckpoint(walk, checkpoint, judge);
      }
    },
    async end(walk: Walk) {
      const left = await next();
      if (left !== undefined) note(walk, left.sequence, 'a signed checkpoint covers events that are missing');
    },
  };
}

function judgeCheckpoint(walk: Walk, checkpoint: CheckpointRow, judge: Judge | undefined): void {
  const { writer, sequence, at } = checkpoint;
  if (judge === undefined) note(walk, sequence, 'the key of the checkpoints is missing');
  else if (!judge(checkpoint)) note(walk, sequence, 'the signature of the checkpoint is not valid');
  else if (sequence !== walk.sequence) note(walk, sequence, 'a signed checkpoint covers events that are missing');
  else if (!equal(checkpoint.hash, walk.hash)) note(walk, sequence, 'is not what the checkpoint signed');
  else if (walk.breaks.length === 0) walk.lastGood = { writer, sequence, at };
}

function followExchange(open: Set<unknown>, row: EventRow): void {
  if (row.name !== 'call.allowed' && row.name !== 'call.finished') return;
  const exchange = exchangeOf(row.body_json);
  if (row.name === 'call.allowed') open.add(exchange);
  else open.delete(exchange);
}

function exchangeOf(body: string): unknown {
  try {
    return parseBody(body).fields.exchange;
  } catch {
    return undefined;
  }
}

function note(walk: Walk, sequence: number, reason: string): void {
  if (walk.breaks.length < mostBreaks) walk.breaks.push({ writer: walk.writer, sequence, reason });
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
