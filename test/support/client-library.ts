import * as client from 'openid-client';
import { testIssuer } from './people.ts';
import type { Serving } from './serving.ts';

/** `fetch` of a client library that reaches this server under its public name. */
export function fetchFrom(serving: Serving): client.CustomFetch {
  return async (url, { method, headers, body }) => {
    const { pathname, search } = new URL(url);
    const text =
      body === undefined || body === null ? undefined : await new Response(body as ConstructorParameters<typeof Response>[0]).text();
    const answer = await serving.send({
      method: method ?? 'GET',
      path: pathname + search,
      headers: Object.fromEntries(new Headers(headers as Record<string, string>)),
      ...(text === undefined ? {} : { body: text }),
    });
    const kept = Object.entries(answer.headers).flatMap(([name, value]) =>
      [value ?? []].flat().map((one): [string, string] => [name, one]),
    );
    return new Response(answer.text === '' ? null : answer.text, { status: answer.status, headers: kept });
  };
}

/** `openid-client`, having discovered this server. */
export function discovered(
  serving: Serving,
  id: string,
  secret: string | undefined,
  authentication?: client.ClientAuth,
): Promise<client.Configuration> {
  return client.discovery(new URL(testIssuer), id, secret, authentication, { [client.customFetch]: fetchFrom(serving) });
}
