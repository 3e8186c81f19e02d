import type { Net } from './contract.ts';

/** As much of the options of `fetch` as protocol libraries use. */
export interface WebFetchOptions {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** `fetch` as protocol libraries take it, over the guarded one: bounded, no redirects, http only where the operator opened it. */
export function webFetch(net: Pick<Net, 'fetch'>, timeout: number): (url: string, options: WebFetchOptions) => Promise<Response> {
  return async (url, { method, headers, body }) => {
    const text = body instanceof URLSearchParams ? body.toString() : typeof body === 'string' ? body : undefined;
    const answer = await net.fetch(url, {
      method,
      headers,
      ...(text === undefined ? {} : { body: text }),
      timeout,
      limit: 262_144,
      allowHttp: true,
    });
    const empty = answer.status === 204 || answer.status === 304;
    return new Response(empty ? null : Buffer.from(answer.body), { status: answer.status, headers: { ...answer.headers } });
  };
}
