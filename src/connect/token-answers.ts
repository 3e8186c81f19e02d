import { type CompiledPattern, compilePattern, couldMatchPattern } from '#api';
import type { CallShape } from './contract.ts';
import type { Provider } from './provider.ts';

interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly pattern: CompiledPattern;
}

const known = new WeakMap<Provider, readonly Endpoint[]>();

/** Whether the answer of this call could hold tokens of the provider: it goes to where the definition says they are had. */
export function answersTokens(provider: Provider, { host, port, method, path }: CallShape): boolean {
  const endpoints = known.get(provider) ?? endpointsOf(provider);
  known.set(provider, endpoints);
  return endpoints.some((one) => one.host === host && one.port === port && couldMatchPattern(one.pattern, method, path));
}

function endpointsOf({ auth }: Provider): readonly Endpoint[] {
  return auth.flatMap((way) => {
    if (way.kind !== 'oauth2') return [];
    return [way.token_endpoint, way.refresh_endpoint].flatMap((address) => {
      if (address === undefined || !URL.canParse(address)) return [];
      const { hostname, port, pathname } = new URL(address);
      return [{ host: hostname, port: Number(port || 443), pattern: compilePattern({ methods: [], path: pathname }) }];
    });
  });
}
