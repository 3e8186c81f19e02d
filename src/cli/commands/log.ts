import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { z } from 'zod';
import type { QueryInput, schemas } from '#api';
import { Fault } from '#kernel';
import { addCommand, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { parseTime, timeOf } from '../listing.ts';
import { counted, printable } from '../speech.ts';

type Event = z.output<typeof schemas.eventView>;

interface LogFlags {
  readonly name?: string;
  readonly subject?: string;
  readonly actor?: string;
  readonly run?: string;
  readonly connection?: string;
  readonly search?: string;
  readonly since?: string;
  readonly until?: string;
  readonly limit: string;
  readonly cursor?: string;
  readonly follow?: boolean;
}

/** The audit trail. */
export function logCommands(program: Command, host: CommandHost): void {
  const log = addCommand<LogFlags>(program, host, {
    usage: 'log',
    tells: 'what happened: the audit trail, oldest first',
    example: 'gatehouse log --since 1h --name call.finished',
    options: [
      ['--name <event>', 'only this event, for example call.allowed'],
      ['--subject <subject>', 'only for whom it was done'],
      ['--actor <actor>', 'only by whom it was done'],
      ['--run <run>', 'only of this run'],
      ['--connection <connection>', 'only through this connection'],
      ['--search <text>', 'only what contains this text'],
      ['--since <time>', 'not older: 90m, 7d or 2030-01-31'],
      ['--until <time>', 'not newer'],
      ['--limit <count>', 'at most so many (1 to 200)', '50'],
      ['--cursor <cursor>', 'go on after an earlier page'],
      ['-f, --follow', 'go on as events come'],
    ],
    action: show,
  });
  addCommand(log, host, {
    usage: 'verify',
    tells: 'check the chains, and say up to which checkpoint',
    example: 'gatehouse log verify',
    action: verify,
  });
}

function queryOf(context: Context, flags: LogFlags): QueryInput<'event_list'> {
  const now = context.clock.now();
  const limit = Number(flags.limit);
  if (!Number.isInteger(limit) || limit < 1 || limit > 200)
    throw new Fault('invalid_usage', { hint: '--limit takes a number from 1 to 200' });
  const { name, subject, actor, run, connection, cursor } = flags;
  const given = { name, subject, actor, run, connection, cursor, text: flags.search };
  return {
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    ...(flags.since === undefined ? {} : { since: parseTime(flags.since, now, -1) }),
    ...(flags.until === undefined ? {} : { until: parseTime(flags.until, now, -1) }),
    limit,
  };
}

async function show(context: Context, _given: readonly string[], flags: LogFlags): Promise<undefined> {
  const server = context.server();
  const query = queryOf(context, flags);
  // Where to go on from comes first: what is recorded between the two is in both.
  const begun = flags.follow ? await server.person.call('event_list', { query: { ...query, follow: 'now' } }) : undefined;
  const newest = await server.person.call('event_list', { query: { ...query, order: 'newest' } });
  const events = newest.items.toReversed();
  if (context.speech.json && begun === undefined) {
    context.speech.value({ items: events, ...(newest.next === undefined ? {} : { next: newest.next }) });
    return undefined;
  }
  for (const event of events) print(context, event);
  if (begun === undefined) {
    if (events.length === 0) context.speech.note('nothing happened yet');
    if (newest.next !== undefined) context.speech.note(`older with: --cursor ${newest.next}`);
    return undefined;
  }
  return follow(context, query, begun.follow ?? 'now', events);
}

/** Asks for what came meanwhile, once a second: each event comes once, also one that a server was late to commit. Ends by interrupt. */
async function follow(context: Context, query: QueryInput<'event_list'>, from: string, seen: readonly Event[]): Promise<undefined> {
  const server = context.server();
  const { cursor: _cursor, since: _since, until: _until, ...filter } = query;
  const printed = new Set(seen.map((event) => event.id));
  let position = from;
  let going = true;
  process.once('SIGINT', () => {
    going = false;
  });
  while (going) {
    await sleep(1000);
    const { items, follow: next } = await server.person.call('event_list', { query: { ...filter, follow: position } });
    for (const event of items) if (!printed.has(event.id)) print(context, event);
    position = next ?? position;
  }
  return undefined;
}

function print(context: Context, event: Event): void {
  if (context.speech.json) {
    // One JSON text a line, so that a follower can be piped on.
    context.io.stdout.write(`${JSON.stringify(event)}\n`);
    return;
  }
  const who = [event.subject, ...event.actors].join(' by ');
  const fields = Object.entries(event.fields).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  const at = new Date(event.at).toISOString().slice(0, 19).replace('T', ' ');
  context.speech.fact(printable([at, event.name, who, ...(event.run === undefined ? [] : [event.run]), ...fields].join('  ')));
}

async function verify(context: Context): Promise<number> {
  const answer = await context.server().person.call('event_verify');
  if (context.speech.json) context.speech.value(answer);
  else {
    context.speech.fact(`${answer.holds ? 'holds' : 'broken'}: ${counted(answer.events, 'event')} by ${counted(answer.writers, 'writer')}`);
    for (const mark of answer.checkpoints) context.speech.fact(`signed up to ${mark.writer} ${mark.sequence}, ${timeOf(mark.at)}`);
    context.speech.fact(`after that: ${counted(answer.tail, 'event')} that no checkpoint covers yet`);
    if (answer.unfinished > 0) context.speech.fact(`${answer.unfinished} calls were allowed and have no end`);
    for (const broken of answer.breaks) context.speech.fact(`break at ${broken.writer} ${broken.sequence}: ${broken.reason}`);
  }
  return answer.holds ? 0 : 1;
}
