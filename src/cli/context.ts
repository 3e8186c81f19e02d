import { type Folders, foldersOf, type Settings } from '#config';
import { type Clock, Fault } from '#kernel';
import { type AgentKey, type AgentKeys, agentKeys } from './agent-keys.ts';
import type { BinCommands, CliDeps, Io } from './contract.ts';
import { type PinnedServers, pinnedServers } from './pinned.ts';
import { findServer, type Server } from './server.ts';
import { createSpeech, type Speech } from './speech.ts';

/** What every command has at hand; settings and folders are read when first asked for. */
export interface Context {
  readonly io: Io;
  readonly bin: BinCommands;
  readonly clock: Clock;
  readonly version: string;
  readonly speech: Speech;
  settings(): Settings;
  folders(): Folders;
  agents(): AgentKeys;
  pinned(): PinnedServers;
  /** The server that commands talk to. @throws {Fault} `server_unreachable` when there is none */
  server(): Server;
  /** The same, or undefined when none runs here and none is pinned. */
  findServer(): Server | undefined;
  /** The key of the agent named, else of `GATEHOUSE_AGENT`, else of the one in use. @throws {Fault} `agent_unknown` */
  agentKey(handle?: string): AgentKey;
}

export function createContext(deps: CliDeps, options: { readonly json: boolean }): Context {
  const settings = once(() => deps.bin.readSettings({ for: 'command' }).settings);
  const folders = once(() => foldersOf(settings().home, deps.io.env));
  const agents = once(() => agentKeys(folders().config));
  const find = () => findServer({ settings: settings(), folders: folders(), clock: deps.clock });
  return Object.freeze({
    io: deps.io,
    bin: deps.bin,
    clock: deps.clock,
    version: deps.version,
    speech: createSpeech(deps.io, options.json),
    settings,
    folders,
    agents,
    pinned: once(() => pinnedServers(folders().config)),
    findServer: find,
    server() {
      const server = find();
      if (server === undefined) throw new Fault('server_unreachable');
      return server;
    },
    agentKey(handle?: string) {
      const name = handle ?? settings().agent ?? agents().current();
      const key = agents().find(name);
      if (key !== undefined) return key;
      throw new Fault('agent_unknown', {
        detail: `There is no agent ${name} on this machine`,
        hint: `make it with: gatehouse init --agent ${name}`,
      });
    },
  });
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
