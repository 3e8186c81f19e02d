import { ProxyAgent, request } from 'undici';
import type { HostileAgent } from './hostile.ts';

/** Calls of one run, straight to the proxy of a server, each on a tunnel of its own. */
export interface Caller {
  /** The status; 0 when no answer came. */
  call(url: string): Promise<number>;
  /** The status, and what we or the system said if there was no answer of the API. */
  ask(url: string): Promise<{ readonly status: number; readonly refusal: string | undefined }>;
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
  const ask: Caller['ask'] = async (url) => {
    try {
      const answer = await request(url, { dispatcher });
      const text = await answer.body.text();
      return { status: answer.statusCode, refusal: answer.headers['gatehouse-refusal'] === undefined ? undefined : text };
    } catch (error) {
      return { status: 0, refusal: String(error) };
    }
  };
  return {
    ask,
    call: async (url) => (await ask(url)).status,
    close: () => dispatcher.destroy(),
  };
}
