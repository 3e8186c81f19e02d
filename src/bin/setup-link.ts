import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Secret } from '#kernel';
import type { Parts } from './parts.ts';
import type { Worker } from './workers.ts';

/** The set-up link that this server gave, and the file it is in. */
export interface GivenLink {
  readonly token: Secret<string>;
  readonly file?: string;
}

interface Audience {
  readonly out: NodeJS.WriteStream;
  readonly worker: Worker | undefined;
}

/**
 * Prints the set-up link to a terminal, and to standard output when the server is bound to loopback without production
 * rules; otherwise writes it to a file for its owner only and logs the path (SECURITY 23).
 */
export async function sayReady(parts: Parts, { out, worker }: Audience): Promise<GivenLink | undefined> {
  if (worker !== undefined && worker.id > 1) return undefined;
  const { signin, publicUrl, production, folders, log } = parts;
  const token = await signin.firstSetupLink();
  if (token === undefined) {
    out.write(`gatehouse is ready: ${publicUrl}\n`);
    if ((await signin.setupState()) === 'open')
      log.info('the set-up link was given before, by this server or another; replace it with: gatehouse setup-link');
    return undefined;
  }
  const link = `${publicUrl}/setup?token=${token.reveal()}`;
  if (out.isTTY || !production) {
    out.write(`gatehouse is ready; set it up here, once, within an hour:\n\n  ${link}\n\n`);
    return { token };
  }
  const file = join(folders.config, 'setup-link');
  writeFileSync(file, `${link}\n`, { mode: 0o600 });
  chmodSync(file, 0o600);
  log.info('the set-up link is in a file', { file });
  return { token, file };
}

/** A link whose server stops ends with it, so that the next server to start gives one. */
export async function withdraw({ signin, log }: Parts, { token, file }: GivenLink): Promise<void> {
  await signin.withdrawSetupLink(token).catch((cause: unknown) => log.warn('the set-up link could not be ended', { cause }));
  if (file !== undefined) rmSync(file, { force: true });
}
