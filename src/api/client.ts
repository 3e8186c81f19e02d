import type { z } from 'zod';
import { Fault, type FaultCode, faults } from '#kernel';
import { type Route, type RouteName, routes } from './routes.ts';
import { problem } from './schemas.ts';

/** One request as the transport sends it. `path` starts with `/` and holds the query; `body` is JSON text. */
export interface ClientRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

export interface ClientAnswer {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

/** How bytes travel: a unix socket, https. It adds what proves the caller. @throws {Fault} `server_unreachable` */
export type Send = (request: ClientRequest) => Promise<ClientAnswer>;

type Table = typeof routes;

type ParameterNames<Path extends string> = Path extends `${string}:${infer Name}/${infer Rest}`
  ? Name | ParameterNames<`/${Rest}`>
  : Path extends `${string}:${infer Name}`
    ? Name
    : never;

/** The names in a route's path and their values, unencoded. */
export type Parameters<N extends RouteName> = { readonly [K in ParameterNames<Table[N]['path']>]: string };
/** What the caller writes as the query (defaults may be left out). */
export type QueryInput<N extends RouteName> = Table[N] extends { readonly query: infer Q extends z.ZodType } ? z.input<Q> : undefined;
/** What the caller writes as the body (defaults may be left out). */
export type BodyInput<N extends RouteName> = Table[N] extends { readonly body: infer B extends z.ZodType } ? z.input<B> : undefined;
/** The answer and its status: `{ status: 201, body: … } | { status: 202, body: … }`. */
export type Answered<N extends RouteName> = {
  [S in keyof Table[N]['answers'] & number]: {
    readonly status: S;
    readonly body: Table[N]['answers'][S] extends infer A extends z.ZodType ? z.output<A> : never;
  };
}[keyof Table[N]['answers'] & number];

type Part<K extends string, T> = [T] extends [undefined]
  ? { readonly [P in K]?: undefined }
  : Record<never, never> extends T
    ? { readonly [P in K]?: T }
    : { readonly [P in K]: T };

/** Path parameters, query and body of one call; a part that may be empty may be left out. */
export type CallInput<N extends RouteName> = Part<'params', Parameters<N>> & Part<'query', QueryInput<N>> & Part<'body', BodyInput<N>>;

type Arguments<N extends RouteName> = Record<never, never> extends CallInput<N> ? [input?: CallInput<N>] : [input: CallInput<N>];

export interface Client {
  /** The body of the answer. @throws {Fault} the server's own fault, by its code */
  call<N extends RouteName>(name: N, ...input: Arguments<N>): Promise<Answered<N>['body']>;
  /** The answer with its status, where a route has more than one (201 done, 202 a person must confirm). */
  ask<N extends RouteName>(name: N, ...input: Arguments<N>): Promise<Answered<N>>;
}

interface LooseInput {
  readonly params?: Readonly<Record<string, string>> | undefined;
  readonly query?: Readonly<Record<string, unknown>> | undefined;
  readonly body?: unknown;
}

/**
 * A client of the management contract over any transport:
 * `await client.call('agent_get', { params: { agent: 'researcher' } })`.
 */
export function createClient(deps: { readonly send: Send }): Client {
  const ask = async (name: RouteName, input: LooseInput = {}) => {
    const row: Route = routes[name];
    const answer = await deps.send(requestOf(row, input));
    return { status: answer.status, body: bodyOf(row, answer) };
  };
  return Object.freeze({
    ask: ask as Client['ask'],
    call: (async (name: RouteName, input?: LooseInput) => (await ask(name, input)).body) as Client['call'],
  });
}

/** The request of one call: parameters and query encoded, body as JSON. */
function requestOf(row: Route, input: LooseInput): ClientRequest {
  const path = row.path.replace(/:([a-z_]+)/g, (_, name: string) => encodeURIComponent(input.params?.[name] ?? ''));
  const body = row.body === undefined ? undefined : JSON.stringify(input.body ?? {});
  return {
    method: row.method,
    path: path + queryOf(input.query ?? {}),
    headers: {
      accept: 'application/json, application/problem+json',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    body,
  };
}

function queryOf(query: Readonly<Record<string, unknown>>): string {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) pairs.set(name, String(value));
  return pairs.size === 0 ? '' : `?${pairs}`;
}

function bodyOf(row: Route, answer: ClientAnswer): unknown {
  const json = parseJson(answer.body);
  const schema = row.answers[answer.status];
  if (schema === undefined) throw faultOf(answer, json);
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw notUnderstood();
  return parsed.data;
}

/** The server's own fault, from its problem document (RFC 9457); one this version does not know keeps its words. */
export function faultOf(answer: Pick<ClientAnswer, 'status' | 'headers'>, json: unknown): Fault {
  const parsed = problem.safeParse(json);
  if (!parsed.success) return answer.status >= 500 ? new Fault('unavailable') : notUnderstood();
  const told = parsed.data;
  const retryAfter = Number(answer.headers['retry-after']);
  return new Fault(isCode(told.code) ? told.code : nearest(told.status), {
    detail: told.detail ?? told.title,
    hint: told.hint,
    requestId: told.request_id,
    ...(told.errors ? { fields: told.errors } : {}),
    ...(told.url ? { url: told.url } : {}),
    ...(Number.isFinite(retryAfter) ? { retryAfter } : {}),
  });
}

function isCode(code: string): code is FaultCode {
  return Object.hasOwn(faults, code);
}

function nearest(status: number): FaultCode {
  if (status === 401) return 'unauthenticated';
  if (status === 403) return 'forbidden';
  if (status === 404) return 'not_found';
  return status >= 500 ? 'unavailable' : 'invalid_request';
}

function notUnderstood(): Fault {
  return new Fault('upstream_invalid', {
    detail: 'The Gatehouse server sent an answer that this version does not understand',
    hint: 'update whichever of the two is older',
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
