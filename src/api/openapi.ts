import { z } from 'zod';
import { type CallerKind, type Route, routes } from './routes.ts';
import { problem } from './schemas.ts';

type Json = Readonly<Record<string, unknown>>;

const schemes: Readonly<Record<Exclude<CallerKind, 'anyone'>, Json>> = {
  agent: { type: 'http', scheme: 'PoP', description: 'a proof signed with the agent’s key, bound to this very request' },
  command_line: { type: 'http', scheme: 'bearer', description: 'the session of a signed-in command line' },
  browser: { type: 'apiKey', in: 'cookie', name: 'gatehouse_session', description: 'a signed-in page (`__Host-` over https)' },
};

/** The management contract as an OpenAPI 3.1 document, derived from the table of routes. */
export function openApi(server: { readonly version: string; readonly url: string }): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const [name, row] of Object.entries<Route>(routes)) {
    const path = row.path.replace(/:([a-z_]+)/g, '{$1}');
    paths[path] = { ...paths[path], [row.method.toLowerCase()]: operationOf(name, row) };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Gatehouse management API', version: server.version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    servers: [{ url: server.url }],
    paths,
    components: { securitySchemes: schemes, schemas: { Problem: schemaOf(problem, 'output') } },
  };
}

function operationOf(name: string, row: Route): Json {
  const body = row.body === undefined ? {} : { requestBody: { content: jsonContent(schemaOf(row.body, 'input')) } };
  return {
    operationId: name,
    summary: row.summary,
    security: row.callers.includes('anyone') ? [{}] : row.callers.map((kind) => ({ [kind]: [] })),
    parameters: [...pathParameters(row.path), ...queryParameters(row)],
    ...body,
    responses: { ...answersOf(row), default: { description: 'a problem', content: problemContent } },
  };
}

const problemContent = { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } };

const phrases: Readonly<Record<number, string>> = { 200: 'done', 201: 'made', 202: 'waits for a person' };

function answersOf(row: Route): Json {
  const answers = Object.entries(row.answers).map(([status, schema]) => [
    status,
    { description: phrases[Number(status)] ?? 'an answer', content: jsonContent(schemaOf(schema, 'output')) },
  ]);
  return Object.fromEntries(answers);
}

function pathParameters(path: string): Json[] {
  return [...path.matchAll(/:([a-z_]+)/g)].map(([, name]) => ({ name, in: 'path', required: true, schema: { type: 'string' } }));
}

function queryParameters(row: Route): Json[] {
  return Object.entries(row.query?.shape ?? {}).map(([name, schema]) => ({
    name,
    in: 'query',
    required: false,
    schema: schemaOf(schema as z.ZodType, 'input'),
  }));
}

function jsonContent(schema: Json): Json {
  return { 'application/json': { schema } };
}

/** The schema without its dialect mark: the document names it once (OpenAPI 3.1 is JSON Schema 2020-12). */
function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, target: 'draft-2020-12' });
  return rest;
}
