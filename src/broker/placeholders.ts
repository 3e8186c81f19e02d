import { createHmac, randomBytes } from 'node:crypto';
import type { Provider } from '#connect';
import { Secret } from '#kernel';
import type { Call } from './contract.ts';

const prefix = 'gatehouse-placeholder-';
const shape = /gatehouse-placeholder-([A-Za-z0-9_-]{22})?/g;

/** What a placeholder stands for: one part of the credential, at each provider that exports its variable. */
export interface Meaning {
  readonly variable: string;
  readonly uses: readonly { readonly provider: string; readonly part: string }[];
}

export type Slot = 'header' | 'query' | 'path' | 'cookie';

/** A placeholder as it was found in a call; `name` is the header's, in lower case, or the parameter's. */
export interface Found {
  readonly text: string;
  readonly slot: Slot;
  readonly name: string;
}

/** From one seed come all placeholders of a run: 128 bits each, another for every variable and run (SECURITY 5). */
export function newSeed(): Secret<string> {
  return new Secret(randomBytes(32).toString('base64url'));
}

function placeholderFor(seed: Secret<string>, variable: string): string {
  const mac = createHmac('sha256', seed.reveal()).update(variable).digest();
  return prefix + mac.subarray(0, 16).toString('base64url');
}

/** What the environment of a run gets for these providers: a placeholder for every secret, the rest as it is. */
export function variablesFor(seed: Secret<string>, providers: readonly Provider[]): Record<string, string> {
  const variables: Record<string, string> = {};
  const secret = new Set<string>();
  for (const { name, value } of providers.flatMap((provider) => provider.variables)) {
    if (value === undefined) secret.add(name);
    else variables[name] ??= value;
  }
  // Where one provider's literal is another's secret, the placeholder is the safe one.
  for (const name of secret) variables[name] = placeholderFor(seed, name);
  return variables;
}

/** Placeholder → meaning, for a run. */
export function meaningsFor(seed: Secret<string>, providers: readonly Provider[]): ReadonlyMap<string, Meaning> {
  const uses = new Map<string, { provider: string; part: string }[]>();
  for (const provider of providers) {
    for (const { name, part, value } of provider.variables) {
      if (value !== undefined) continue;
      const list = uses.get(name) ?? [];
      list.push({ provider: provider.id, part: part ?? firstPart(provider) });
      uses.set(name, list);
    }
  }
  return new Map([...uses].map(([variable, list]) => [placeholderFor(seed, variable), { variable, uses: list }]));
}

function firstPart(provider: Provider): string {
  const auth = provider.auth[0];
  return auth?.kind === 'api_key' ? (auth.fields[0]?.name ?? 'api_key') : 'access_token';
}

/** Every placeholder in target and headers, also inside a Basic credential. Most calls have none or one. */
export function findPlaceholders(call: Pick<Call, 'headers' | 'path' | 'query'>): readonly Found[] {
  const found: Found[] = [];
  for (const [name, value] of call.headers) {
    const text = value.includes(prefix) ? value : basicPair(value);
    if (text?.includes(prefix)) {
      const lower = name.toLowerCase();
      collect(found, text, lower === 'cookie' ? 'cookie' : 'header', lower);
    }
  }
  if (call.path.includes(prefix)) collect(found, call.path, 'path', '');
  if (call.query.includes(prefix)) {
    for (const part of call.query.split(/[&;]/)) collect(found, part, 'query', (part.split('=', 1)[0] as string).toLowerCase());
  }
  return found;
}

function collect(found: Found[], text: string, slot: Slot, name: string): void {
  for (const match of text.matchAll(shape)) found.push({ text: match[0], slot, name });
}

/** `user:password` of a Basic credential (RFC 7617). */
function basicPair(value: string): string | undefined {
  const match = value.length > 6 && (value.charCodeAt(0) | 32) === 0x62 ? /^basic +([A-Za-z0-9+/=_-]+)$/i.exec(value) : null;
  return match ? Buffer.from(match[1] as string, 'base64').toString('utf8') : undefined;
}

/** The text without what it must not show. */
export function maskPlaceholders(text: string): string {
  return text.includes(prefix) ? text.replace(shape, `${prefix}…`) : text;
}
