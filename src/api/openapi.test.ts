import { describe, expect, it } from 'vitest';
import { openApi } from './openapi.ts';
import { type Route, routes } from './routes.ts';

interface Document {
  readonly paths: Readonly<
    Record<
      string,
      Readonly<Record<string, { readonly operationId: string; readonly security: readonly object[]; readonly responses: object }>>
    >
  >;
}

describe('the OpenAPI document', () => {
  const document = openApi({ version: '1.2.3', url: 'https://gatehouse.example.com' }) as unknown as Document;

  it('names every route once, with its answers and who may call it', () => {
    const named = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })),
    );
    for (const [name, row] of Object.entries<Route>(routes)) {
      const [found, ...more] = named.filter((operation) => operation.operationId === name);
      expect(more).toEqual([]);
      expect(found).toMatchObject({ method: row.method.toLowerCase(), path: row.path.replace(/:([a-z_]+)/g, '{$1}') });
      expect(Object.keys(found?.responses ?? {})).toEqual([...Object.keys(row.answers), 'default']);
      expect(found?.security).toHaveLength(row.callers.length);
    }
    expect(named).toHaveLength(Object.keys(routes).length);
  });

  it('is plain JSON', () => expect(JSON.parse(JSON.stringify(document))).toEqual(document));
});
