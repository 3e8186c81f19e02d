import type { Serving } from './serving.ts';

/** What client libraries take as their fetch: it reaches this server, whatever host they call. */
export function fetchOver(serving: Pick<Serving, 'send'>): typeof fetch {
  return async (input, init) => {
    const request = new Request(input, init);
    const { pathname, search } = new URL(request.url);
    const body = request.body === null ? {} : { body: new Uint8Array(await request.arrayBuffer()) };
    const headers = Object.fromEntries(request.headers);
    const answer = await serving.send({ method: request.method, path: pathname + search, headers, ...body });
    const given = Object.entries(answer.headers).flatMap(([name, value]) =>
      [value ?? []].flat().map((one) => [name, one] as [string, string]),
    );
    return new Response(answer.text === '' ? null : answer.text, { status: answer.status, headers: given });
  };
}
