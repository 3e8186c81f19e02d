import { setTimeout as sleep } from 'node:timers/promises';
import { foldersOf } from '#config';
import { createPausedHttp } from '#http';
import { isFault } from '#kernel';
import { standingAt } from '#store';
import type { Pair } from './certificate.ts';
import { inheritedSockets, listening } from './listeners.ts';
import type { Parts } from './parts.ts';
import { databasePlace, homeOf } from './places.ts';
import type { ServeContext } from './serve.ts';

const lookEvery = 500;

/**
 * What `build` gives, once the installation is not paused (any more): meanwhile health alone is answered. Undefined: told
 * to stop before that.
 */
export async function onceResumed(build: () => Promise<Parts>, tls: Pair | undefined, context: ServeContext): Promise<Parts | undefined> {
  for (;;) {
    try {
      return await build();
    } catch (error) {
      if (!isFault(error, 'paused')) throw error;
    }
    if (!(await whilePaused(tls, context))) return undefined;
  }
}

/** True when it was resumed; false when the process was told to stop. */
async function whilePaused(tls: Pair | undefined, context: ServeContext): Promise<boolean> {
  const { settings, clock, log, out, version } = context;
  const http = createPausedHttp(version);
  const stop = stopping();
  try {
    await listen(http, tls, context);
    log.warn('paused: nothing is served until it is resumed');
    out.write('gatehouse is paused; once the original runs no more: gatehouse resume\n');
    const place = databasePlace(settings);
    while (!stop.told()) {
      await sleep(lookEvery);
      const standing = await standingAt(place, clock).catch(() => ({ state: 'paused' }) as const);
      if (standing === undefined) return true;
    }
    return false;
  } finally {
    stop.forget();
    await http.close(1_000);
  }
}

async function listen(http: ReturnType<typeof createPausedHttp>, tls: Pair | undefined, context: ServeContext): Promise<void> {
  const { settings, env } = context;
  const { host, port } = settings;
  // Sockets that the system holds would be closed with this listener: who calls them waits.
  if (inheritedSockets(context).length === 0)
    await listening('GATEHOUSE_PORT', () => http.listen({ host, port, ...(tls === undefined ? {} : { tls }) }));
  await http.listen({ path: foldersOf(homeOf(settings), env).serverSocket }).catch((error: unknown) => {
    if (!isFault(error, 'conflict')) throw error;
  });
}

const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

function stopping() {
  let told = false;
  const hear = () => {
    told = true;
  };
  for (const signal of signals) process.on(signal, hear);
  return {
    told: () => told,
    forget() {
      for (const signal of signals) process.off(signal, hear);
    },
  };
}
