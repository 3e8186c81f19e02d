import type { z } from 'zod';
import { type CallInput, type Route, type RouteName, routes } from '#api';
import { jsonOf, judge } from './body.ts';
import type { Caller } from './callers.ts';
import type { Incoming } from './incoming.ts';

type Table = typeof routes;
type Schema<R, K extends string> = R extends { readonly [P in K]: infer S extends z.ZodType } ? z.output<S> : undefined;

/** Who may reach this route's handler. */
export type CallerOf<N extends RouteName> = Extract<Caller, { readonly kind: Table[N]['callers'][number] }>;

/** One call of one route, judged by its schemas. */
export interface ApiCall<N extends RouteName> {
  readonly request: Incoming;
  readonly caller: CallerOf<N>;
  readonly params: CallInput<N> extends { readonly params?: infer P } ? NonNullable<P> : never;
  readonly query: Schema<Table[N], 'query'>;
  readonly body: Schema<Table[N], 'body'>;
}

/** A status of the table and the body that belongs to it. */
export type ApiAnswer<N extends RouteName> = {
  [S in keyof Table[N]['answers'] & number]: {
    readonly status: S;
    readonly body: Table[N]['answers'][S] extends infer A extends z.ZodType ? z.input<A> : never;
  };
}[keyof Table[N]['answers'] & number];

/** A handler per route: a route without one does not compile. */
export type Handlers = { readonly [N in RouteName]: (call: ApiCall<N>) => Promise<ApiAnswer<N>> };
export type HandlersOf<N extends RouteName> = Pick<Handlers, N>;

type LooseHandler = (call: unknown) => Promise<{ readonly status: number; readonly body: unknown }>;

export interface ServedRoute {
  readonly name: RouteName;
  readonly row: Route;
  /** Judges the request, calls the handler, and lets out only what the contract names. */
  serve(request: Incoming, caller: Caller, params: unknown, query: unknown): Promise<{ readonly status: number; readonly body: unknown }>;
}

/** The table of routes with its handlers, ready to be mounted. */
export function servedRoutes(handlers: Handlers): readonly ServedRoute[] {
  return (Object.keys(routes) as RouteName[]).map((name) => {
    const row: Route = routes[name];
    const handle = handlers[name] as LooseHandler;
    return {
      name,
      row,
      async serve(request, caller, params, given) {
        const query = row.query === undefined ? undefined : judge(row.query, given, '/query');
        const body = row.body === undefined ? undefined : judge(row.body, jsonOf(request.headers['content-type'], request.body), '');
        const answer = await handle({ request, caller, params, query, body });
        return { status: answer.status, body: row.answers[answer.status]?.parse(answer.body) };
      },
    };
  });
}
