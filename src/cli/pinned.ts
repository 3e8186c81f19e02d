import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { Fault, Secret } from '#kernel';
import { writePrivateFile } from './private-folder.ts';

/** A remote server as it was pinned at `login URL`. */
export interface PinnedServer {
  readonly url: string;
  readonly issuer: string;
  /** The only authority believed for it (PEM); absent: the system's. */
  readonly ca: string | undefined;
  readonly session: Secret<string> | undefined;
  readonly user: string | undefined;
}

const fileShape = z.object({
  current: z.string().optional(),
  servers: z.record(
    z.string(),
    z.object({ issuer: z.string(), ca: z.string().optional(), session: z.string().optional(), user: z.string().optional() }),
  ),
});
type File = z.infer<typeof fileShape>;

export interface PinnedServers {
  /** The server commands talk to, or undefined: the local one. */
  current(): PinnedServer | undefined;
  find(url: string): PinnedServer | undefined;
  /** Pins, and makes it the current one. */
  pin(server: PinnedServer): Promise<void>;
  /** Forgets a server with its session. */
  forget(url: string): Promise<void>;
}

/** Pinned servers in `servers.json` of the configuration folder (0600). */
export function pinnedServers(configFolder: string): PinnedServers {
  const path = join(configFolder, 'servers.json');
  const read = (): File => parseFile(path);
  const find = (url: string, file = read()): PinnedServer | undefined => {
    const row = file.servers[url];
    if (row === undefined) return undefined;
    return {
      url,
      issuer: row.issuer,
      ca: row.ca,
      user: row.user,
      session: row.session === undefined ? undefined : new Secret(row.session),
    };
  };
  const write = (file: File) => writePrivateFile(path, `${JSON.stringify(file, null, 2)}\n`);

  return Object.freeze({
    find,
    current() {
      const file = read();
      return file.current === undefined ? undefined : find(file.current, file);
    },
    async pin(server: PinnedServer) {
      const file = read();
      const { url, issuer, ca, user, session } = server;
      await write({ current: url, servers: { ...file.servers, [url]: { issuer, ca, user, session: session?.reveal() } } });
    },
    async forget(url: string) {
      const file = read();
      const { [url]: _gone, ...servers } = file.servers;
      const current = file.current === url ? {} : { current: file.current };
      await write({ servers, ...current });
    },
  });
}

function parseFile(path: string): File {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return { servers: {} };
  }
  const parsed = fileShape.safeParse(jsonOf(text));
  if (parsed.success) return parsed.data;
  throw new Fault('unauthenticated', { detail: 'The file of pinned servers cannot be read', hint: `remove ${path}, then sign in again` });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
