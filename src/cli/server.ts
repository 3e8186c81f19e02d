import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, type ClientRequest, createClient, type Send } from '#api';
import { type Folders, isLoopback, type Settings } from '#config';
import { type Clock, Fault } from '#kernel';
import { createAgentProof } from '#oauth';
import type { AgentKey } from './agent-keys.ts';
import { type PinnedServer, type PinnedServers, pinnedServers } from './pinned.ts';
import { checkPrivateFolder, ownSocket } from './private-folder.ts';
import { type Address, type Evidence, transport } from './transport.ts';

/** The server that commands talk to. */
export interface Server {
  readonly kind: 'local' | 'remote';
  readonly address: Address;
  /** As a person reads it. */
  readonly shown: string;
  readonly pinned: PinnedServer | undefined;
  /** Calls of the person at this command line. */
  readonly person: Client;
  /** Calls of nobody in particular. */
  readonly anyone: Client;
  /** Issuer: audience and origin of agent proofs. */
  issuer(): Promise<string>;
  /** Calls of an agent, each proven by its key. */
  agent(key: AgentKey): Promise<Client>;
  /** The same for registering it: from elsewhere only on the word of the person signed in here. */
  registrar(key: AgentKey): Promise<Client>;
  /** The header that proves the agent over a request with no body. */
  proof(key: AgentKey, method: string, path: string): Promise<string>;
}

export interface ServerDeps {
  readonly settings: Settings;
  readonly folders: Folders;
  readonly clock: Clock;
}

/**
 * Finds the server: the one `GATEHOUSE_URL` names, else the one pinned at `login URL`, else the local one by its socket
 * (never by a port, SECURITY 25). Undefined: none runs here and none is pinned.
 */
export function findServer(deps: ServerDeps): Server | undefined {
  const servers = pinnedServers(deps.folders.config);
  const pinned = deps.settings.url === undefined ? servers.current() : pinnedAt(deps.settings.url, servers);
  if (pinned !== undefined) return remoteServer(deps, pinned, deps.settings.organization);
  return findLocal(deps);
}

/** The local server, whatever is pinned. */
export function findLocal(deps: ServerDeps): Server | undefined {
  checkPrivateFolder(deps.folders.state);
  return ownSocket(deps.folders.serverSocket) ? localServer(deps) : undefined;
}

function pinnedAt(url: string, servers: PinnedServers): PinnedServer {
  const pinned = servers.find(url);
  if (pinned === undefined) throw new Fault('unauthenticated', { hint: `pin that server first: gatehouse login ${url}` });
  return pinned;
}

/** Of an organization that is not the default one. */
function belowOf(organization: string | undefined): Pick<Address, 'below'> {
  return organization === undefined ? {} : { below: `/o/${organization}` };
}

function localServer(deps: ServerDeps): Server {
  const address: Address = { kind: 'socket', path: deps.folders.serverSocket, ...belowOf(deps.settings.organization) };
  const person = createClient({ send: transport(address) });
  let known: Promise<string> | undefined;
  const issuer = () => {
    known ??= person.call('whoami').then((answer) => answer.organization.issuer);
    return known;
  };
  return serverAt(deps, { kind: 'local', address, shown: 'the local server', pinned: undefined, person, issuer });
}

/** A server that was pinned, or is about to be. Clear text goes to loopback only. @throws {Fault} `invalid_usage` */
export function remoteServer(deps: Pick<ServerDeps, 'clock'>, pinned: PinnedServer, organization?: string): Server {
  const { protocol, hostname } = new URL(pinned.url);
  if (protocol !== 'https:' && !isLoopback(hostname))
    throw new Fault('invalid_usage', { hint: 'use https; plain http goes to loopback only' });
  const address: Address = {
    kind: 'origin',
    origin: pinned.url,
    ...(pinned.ca === undefined ? {} : { ca: pinned.ca }),
    ...belowOf(organization),
  };
  const session = pinned.session;
  const evidence: Evidence = () => (session === undefined ? {} : { authorization: `Bearer ${session.reveal()}` });
  const person = createClient({ send: transport(address, evidence) });
  return serverAt(deps, { kind: 'remote', address, shown: pinned.url, pinned, person, issuer: async () => pinned.issuer });
}

const longestPause = 15_000;

/** A server that cannot know yet whether a proof was used before gets another one as soon as it can (SECURITY 14). */
function provingAgain(send: Send): Send {
  return async (request) => {
    for (let waited = 0; ; ) {
      const answer = await send(request);
      const pause = Number(answer.headers['retry-after']) * 1000;
      const again = answer.status === 503 && answer.body.includes('"proof_unremembered"') && waited + pause <= longestPause;
      if (!again) return answer;
      waited += pause;
      await sleep(pause);
    }
  };
}

function serverAt(
  deps: Pick<ServerDeps, 'clock'>,
  parts: Pick<Server, 'kind' | 'address' | 'shown' | 'pinned' | 'person' | 'issuer'>,
): Server {
  const prove = (issuer: string, key: AgentKey, method: string, path: string, body = '') =>
    createAgentProof({
      privateKey: key.privateKey,
      did: key.did,
      audience: issuer,
      method,
      url: `${issuer.replace(/\/+$/, '')}${path}`,
      body: Buffer.from(body),
      now: deps.clock.now(),
    });
  const agent = async (key: AgentKey, headers: Readonly<Record<string, string>> = {}) => {
    const issuer = await parts.issuer();
    const evidence = ({ method, path, body }: ClientRequest) => ({ ...headers, authorization: prove(issuer, key, method, path, body) });
    return createClient({ send: provingAgain(transport(parts.address, evidence)) });
  };
  const session = parts.pinned?.session;
  return Object.freeze({
    ...parts,
    anyone: createClient({ send: transport(parts.address) }),
    agent: (key: AgentKey) => agent(key),
    registrar: (key: AgentKey) => agent(key, session === undefined ? {} : { 'gatehouse-invitation': session.reveal() }),
    proof: async (key: AgentKey, method: string, path: string) => prove(await parts.issuer(), key, method, path),
  });
}
