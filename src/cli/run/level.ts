import { isApart, isLoopback, type Place, placeOfThisProcess } from '#config';
import type { Level } from '#kernel';
import type { AgentKey } from '../agent-keys.ts';
import type { Context } from '../context.ts';
import type { Server } from '../server.ts';
import type { Enclosure } from './isolate.ts';

export interface Standing {
  readonly level: Level;
  /** One line, always: what holds and what does not (SECURITY 1). */
  readonly told: string;
}

export interface StandingInput {
  readonly server: Server;
  readonly key: AgentKey;
  readonly enclosure?: Enclosure | undefined;
}

/**
 * How far the program is from keys and injection: in namespaces that were proven to hold, or asking a server of another
 * machine or another user; else the same user has them.
 */
export async function standingOf(context: Context, { server, key, enclosure }: StandingInput): Promise<Standing> {
  if (enclosure !== undefined) return { level: 'separated', told: enclosure.told };
  if (server.kind === 'local') {
    const { home, config } = context.folders();
    const reach = `a hostile one of the same user could read ${config} and ${home}`;
    return { level: 'cooperative', told: `the program is handed no secret, but ${reach} (add --isolate)` };
  }
  const { place } = await (await server.agent(key)).call('whoami');
  return remoteStanding(server.shown, place, placeOfThisProcess());
}

/**
 * The server says where it runs, whatever stands between: its name, its address and who listens there may all be a
 * balancer's or a tunnel's. One that does not say is believed to be elsewhere only if it is not called by loopback.
 */
export function remoteStanding(url: string, theirs: Place | undefined, own: Place): Standing {
  const here = theirs?.machine === own.machine;
  const apart = theirs === undefined ? !isLoopback(new URL(url).hostname) : isApart(theirs, own);
  if (apart) return { level: 'separated', told: `keys and injection are ${here ? "another user's, at" : 'on'} ${url}` };
  const reach =
    own.user === 0 ? 'a hostile one could read, as root, what it keeps' : 'a hostile one of the same user could read what it keeps';
  return { level: 'cooperative', told: `the program is handed no secret, but ${url} is on this machine, and ${reach} (add --isolate)` };
}
