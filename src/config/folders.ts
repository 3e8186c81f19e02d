import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Environment } from './read.ts';

/** Where things are kept for one OS user. Keys and sessions are never in the data folder. */
export interface Folders {
  /** Database, log. `GATEHOUSE_HOME`. */
  readonly home: string;
  /** Master key, agent keys, pinned servers: `$XDG_CONFIG_HOME/gatehouse`. */
  readonly config: string;
  /** Sockets: `$XDG_RUNTIME_DIR/gatehouse`, else `run/` in the data folder. Mode 0700. */
  readonly state: string;
  /** The server's socket and the proxy's. */
  readonly serverSocket: string;
  readonly proxySocket: string;
  readonly masterKey: string;
}

export function foldersOf(home: string, env: Environment): Folders {
  const config = join(env.XDG_CONFIG_HOME || join(env.HOME || homedir(), '.config'), 'gatehouse');
  const state = env.XDG_RUNTIME_DIR ? join(env.XDG_RUNTIME_DIR, 'gatehouse') : join(home, 'run');
  return {
    home,
    config,
    state,
    serverSocket: join(state, 'gatehouse.sock'),
    proxySocket: join(state, 'proxy.sock'),
    masterKey: join(config, 'master.key'),
  };
}
