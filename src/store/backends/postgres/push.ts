import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Log } from '#kernel';
import { oneAtATime, type Push } from '../../push.ts';

const retryFrom = 100;
const retryTo = 5_000;
/** How often a connection that hears nothing is tried, milliseconds. */
export const pushTried = 15_000;
/** How long a server may take to say goodbye. */
const parting = 1_000;

/** One connection of its own, on which NOTIFY is sent and heard. It is made anew for as long as the store is open. */
export function openPostgresPush(connect: () => pg.Client, schema: string, log: Log, tried: number): Push {
  const channel = channelOf(schema);
  const self = randomBytes(8).toString('hex');
  let heard = () => {};
  let client: pg.Client | undefined;
  let ready = false;
  let timer: NodeJS.Timeout | undefined;
  let failures = 0;
  let closed = false;

  async function open(): Promise<void> {
    const opening = connect();
    client = opening;
    const lost = (error?: Error) => {
      if (client !== opening) return;
      client = undefined;
      ready = false;
      void opening.end().catch(() => {});
      again(error);
    };
    opening.on('error', lost);
    opening.on('end', () => lost());
    opening.on('notification', ({ payload }) => {
      if (payload !== self) heard();
    });
    try {
      await opening.connect();
      await opening.query(`listen "${channel}"`);
    } catch (error) {
      return lost(error as Error);
    }
    if (client !== opening) return;
    ready = true;
    if (failures > 0) log.info('changes are pushed again');
    failures = 0;
    heard();
    keepTried(opening, lost);
  }

  function again(error: Error | undefined): void {
    clearTimeout(timer);
    if (closed) return;
    if (failures === 0) log.warn('changes are not pushed right now; they are polled for', { reason: codeOf(error) });
    const wait = Math.min(retryTo, retryFrom * 2 ** Math.min(failures, 10)) * (0.5 + Math.random() / 2);
    failures++;
    timer = setTimeout(() => void open(), wait);
    timer.unref();
  }

  /** A connection that was cut in silence is found out by asking. */
  function keepTried(one: pg.Client, lost: (error: Error) => void): void {
    timer = setTimeout(() => {
      one.query('select 1').then(() => {
        if (client === one) keepTried(one, lost);
      }, lost);
    }, tried);
    timer.unref();
  }

  return Object.freeze({
    announce: oneAtATime(async () => {
      if (ready) await client?.query('select pg_notify($1, $2)', [channel, self]);
    }),
    listen(listener: () => void) {
      heard = listener;
      void open();
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      const last = client;
      client = undefined;
      await Promise.race([last?.end(), sleep(parting, undefined, { ref: false })]).catch(() => {});
    },
  });
}

/** Channels belong to the whole database, so each schema has its own. */
export function channelOf(schema: string): string {
  return `gatehouse_${createHash('sha256').update(schema).digest('hex').slice(0, 32)}`;
}

function codeOf(error: Error | undefined): string {
  if (error === undefined) return 'the connection ended';
  return 'code' in error ? String(error.code) : error.name;
}
