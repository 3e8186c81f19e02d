import { randomBytes } from 'node:crypto';
import type { Log } from '#kernel';
import { oneAtATime, type Push } from '../../push.ts';
import type { Client } from './client.ts';
import type { Link } from './link.ts';

/** How often a connection that hears nothing is tried, milliseconds. */
const tried = 15_000;

/** Announcements by PUBLISH, which every node of a cluster passes on; heard on a client of their own, for it can do nothing else. */
export function openRedisPush(link: Link, connect: () => Promise<Client>, channel: string, log: Log): Push {
  const self = randomBytes(8).toString('hex');
  let subscriber: Client | undefined;
  let timer: NodeJS.Timeout | undefined;
  let away = false;
  let closed = false;

  function failed(error: unknown): void {
    if (!away && !closed) log.warn('changes are not pushed by redis right now; they are polled for', { reason: wordsOf(error) });
    away = true;
  }

  function subscribed(heard: () => void): void {
    if (away) log.info('changes are pushed by redis again');
    away = false;
    heard();
  }

  async function open(heard: () => void): Promise<void> {
    const client = await connect();
    if (closed) return client.driver.disconnect();
    subscriber = client;
    const { driver } = client;
    const subscribe = () => void driver.subscribe(channel).then(() => subscribed(heard), failed);
    driver.on('error', failed);
    driver.on('message', (_: string, message: string) => {
      if (message !== self) heard();
    });
    driver.on('ready', subscribe);
    if (driver.status === 'ready') subscribe();
    if (client.kind === 'single') timer = keepTried(client);
  }

  return Object.freeze({
    announce: oneAtATime(() => link.publish(channel, self)),
    listen(heard: () => void) {
      open(heard).catch(failed);
    },
    async close() {
      closed = true;
      clearInterval(timer);
      subscriber?.driver.disconnect();
    },
  });
}

/** A connection that was cut in silence is found out by asking; those of a cluster are the driver's to look after. */
function keepTried({ driver }: Extract<Client, { kind: 'single' }>): NodeJS.Timeout {
  const timer = setInterval(() => {
    if (driver.status === 'ready') driver.ping().catch(() => driver.disconnect(true));
  }, tried);
  timer.unref();
  return timer;
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown';
}
