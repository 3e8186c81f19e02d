import type { ProxyAgent, RequestInit, Response } from 'undici';
import type { Agent } from '#identity';
import { Fault, type RunId } from '#kernel';
import { createProxy, type Proxy as DataPlane } from '#proxy';
import type { Parts } from './parts.ts';

/** A call in the name of an agent: decided by its permissions, injected, scrubbed and recorded like one through `run`. */
export interface LibraryCalls {
  call(agent: string, url: string, init?: Omit<RequestInit, 'dispatcher'>): Promise<Response>;
  close(): Promise<void>;
}

interface Line {
  readonly agent: Agent;
  readonly run: RunId;
  readonly dispatcher: ProxyAgent;
  readonly expiresAt: number;
}

/** A run's credential is renewed this long before it ends, milliseconds. */
const ahead = 60_000;

/** The data plane in this process, on a loopback port of its own, opened by the first call. */
export function createLibraryCalls(parts: Parts): LibraryCalls {
  const { identity, broker, net, organization, clock, log } = parts;
  const lines = new Map<string, Promise<Line>>();
  let plane: Promise<{ readonly proxy: DataPlane; readonly port: number }> | undefined;

  async function openPlane() {
    const proxy = createProxy({ broker, net, clock, log });
    const { address, port } = await proxy.listen({ host: '127.0.0.1', port: 0 });
    net.own(address, port);
    return { proxy, port };
  }

  async function openLine(handle: string): Promise<Line> {
    const agent = await identity.agentByHandle(organization.id, handle);
    if (agent === undefined) throw new Fault('agent_unknown');
    plane ??= openPlane();
    const { port } = await plane;
    const started = await broker.startRun(agent, { level: 'cooperative', program: 'library', connections: {}, passed: [] });
    const token = `Basic ${Buffer.from(`gatehouse:${started.credential.reveal()}`).toString('base64')}`;
    const undici = await import('undici');
    const dispatcher = new undici.ProxyAgent({
      uri: `http://127.0.0.1:${port}`,
      token,
      requestTls: { ca: started.authorityPem },
      proxyTunnel: true,
    });
    return { agent, run: started.run, dispatcher, expiresAt: started.credentialExpiresAt };
  }

  async function end({ agent, run, dispatcher }: Line, reason: string): Promise<void> {
    await dispatcher.close();
    await broker.endRun(agent, run, reason);
  }

  async function lineOf(handle: string): Promise<Line> {
    const known = await lines.get(handle);
    if (known !== undefined && known.expiresAt - ahead > clock.now()) return known;
    const opening = openLine(handle);
    lines.set(handle, opening);
    opening.catch(() => lines.delete(handle));
    const line = await opening;
    if (known !== undefined)
      void end(known, 'renewed').catch((cause: unknown) => log.warn('a run could not be ended', { run: known.run, cause }));
    return line;
  }

  return Object.freeze({
    async call(agent: string, url: string, init: Omit<RequestInit, 'dispatcher'> = {}) {
      const { dispatcher } = await lineOf(agent);
      const undici = await import('undici');
      return undici.fetch(url, { ...init, dispatcher });
    },
    async close() {
      for (const line of lines.values()) await end(await line, 'closed');
      if (plane !== undefined) await (await plane).proxy.close(1_000);
    },
  });
}
