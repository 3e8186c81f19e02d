import { ProxyAgent, request } from 'undici';
import type { HostileAgent } from './hostile.ts';

/** Calls of one run, straight to the proxy of a server, each on a tunnel of its own. */
export interface Caller {
  /** The status; 0 when no answer came. */
  call(url: string): Promise<number>;
  close(): Promise<void>;
}

/** Starts a run, with the named connections. */
export async function startRun(agent: HostileAgent, connections: Readonly<Record<string, string>> = {}) {
  const started = await agent.ask('POST', '/v1/runs', JSON.stringify({ level: 'cooperative', program: 'calls', connections, passed: [] }));
  if (started.status !== 201) throw new Error(`no run: ${started.status} ${started.text}`);
  return JSON.parse(started.text) as { readonly credential: string; readonly authority_pem: string };
}

export function callerOf(run: { readonly credential: string; readonly authority_pem: string }, proxyPort: number): Caller {
  const dispatcher = new ProxyAgent({
    uri: `http://127.0.0.1:${proxyPort}`,
    token: `Bearer ${run.credential}`,
    requestTls: { ca: run.authority_pem },
    headersTimeout: 40_000,
  });
  return {
    async call(url) {
      try {
        const answer = await request(url, { dispatcher });
        await answer.body.dump();
        return answer.statusCode;
      } catch {
        return 0;
      }
    },
    close: () => dispatcher.destroy(),
  };
}
