import { nameShape } from '#api';
import { type Connection, isPinned, isTenant, type ProviderMatch } from '#connect';
import type { VaultId } from '#kernel';
import type { Call, Verdict } from './contract.ts';
import type { Meaning } from './placeholders.ts';
import type { Place } from './places.ts';

export interface Chosen {
  readonly match: ProviderMatch;
  readonly connection: Connection;
}

type Refused = Exclude<Verdict, { readonly kind: 'allow' }>;

/** What the agent said of which connection it means. */
interface Wish {
  readonly provider: string | undefined;
  readonly name: string;
}

interface Asked {
  readonly call: Call;
  readonly matches: readonly ProviderMatch[];
  readonly place: Place;
  readonly chosen: Readonly<Record<string, string>>;
  /** What the run's own placeholders in the call stand for. */
  readonly meanings: readonly Meaning[];
  readonly publicUrl: string;
}

/**
 * Which connection the call goes through: the one the header names, then by the placeholder that is used, then as the
 * run chose at its start, then the default, then the only one. Anything else is answered with the choices.
 */
export function choose(asked: Asked): Chosen | Refused {
  const wish = wishOf(asked.call);
  if (wish === 'malformed') return unknown(asked);
  const match = matchFor(asked, wish);
  if (!match) return wish?.provider === undefined ? missing(asked) : unknown(asked);
  const connections = usableAt(asked, match);
  if (connections.length === 0) return missing(asked, match);
  const name = wish?.name ?? (Object.hasOwn(asked.chosen, match.provider.id) ? asked.chosen[match.provider.id] : undefined);
  if (name !== undefined) {
    const named = inOrderOfVaults(
      connections.filter((one) => one.name === name),
      asked.place.vaults,
    );
    return named ? { match, connection: named } : unknown(asked);
  }
  const byDefault = inOrderOfVaults(
    connections.filter((one) => one.isDefault),
    asked.place.vaults,
  );
  const connection = byDefault ?? (connections.length === 1 ? connections[0] : undefined);
  return connection ? { match, connection } : ambiguous(asked);
}

/** Those of the provider that may be used where this entry claims the call: below a tenant suffix only the host's own. */
function usableAt({ call, place }: Pick<Asked, 'call' | 'place'>, { provider, entry }: ProviderMatch): readonly Connection[] {
  const all = place.connections.get(provider.id) ?? [];
  return isTenant(entry) ? all.filter((one) => isPinned(one, entry, call.host)) : all;
}

/** `Gatehouse-Connection: work`, or `github/work`. */
function wishOf(call: Call): Wish | 'malformed' | undefined {
  const values = call.headers.filter(([name]) => name.length === 20 && name.toLowerCase() === 'gatehouse-connection');
  if (values.length === 0) return undefined;
  const [provider, name, more] = values.length > 1 ? [] : (values[0]?.[1].trim().split('/') ?? []);
  if (provider === undefined || more !== undefined || !nameShape.test(provider)) return 'malformed';
  if (name === undefined) return { provider: undefined, name: provider };
  return nameShape.test(name) ? { provider, name } : 'malformed';
}

/** The provider: as wished, else the most specific that the placeholder means, else the most specific with a connection. */
function matchFor(asked: Asked, wish: Wish | undefined): ProviderMatch | undefined {
  const { matches, meanings } = asked;
  if (wish?.provider !== undefined) return matches.find(({ provider }) => provider.id === wish.provider);
  const connected = matches.filter((match) => usableAt(asked, match).length > 0);
  if (wish) {
    const named = connected.find((match) => usableAt(asked, match).some((one) => one.name === wish.name));
    if (named) return named;
  }
  const meant = new Set(meanings.flatMap(({ uses }) => uses.map((use) => use.provider)));
  return connected.find(({ provider }) => meant.has(provider.id)) ?? connected[0] ?? matches[0];
}

/** A person's own vault comes before the shared ones. */
function inOrderOfVaults(connections: readonly Connection[], vaults: readonly VaultId[]): Connection | undefined {
  if (connections.length < 2) return connections[0];
  for (const vault of vaults) {
    const found = connections.find((one) => one.vault === vault);
    if (found) return found;
  }
  return connections[0];
}

function choicesOf(asked: Asked): string {
  const names = asked.matches.flatMap((match) => usableAt(asked, match).map((one) => `${one.provider}/${one.name}`));
  return [...new Set(names)].join(', ');
}

function ambiguous(asked: Asked): Refused {
  const choices = choicesOf(asked);
  return {
    kind: 'deny',
    code: 'connection_ambiguous',
    detail: `Several connections fit: ${choices}`,
    hint: `name one in the header Gatehouse-Connection (${choices}), or set a default: gatehouse connections set-default`,
  };
}

function unknown(asked: Asked): Refused {
  const choices = choicesOf(asked);
  return {
    kind: 'deny',
    code: 'connection_unknown',
    hint: choices === '' ? 'list them with: gatehouse connections list' : `name one of: ${choices}`,
  };
}

function missing(asked: Asked, match: ProviderMatch | undefined = asked.matches[0]): Refused {
  const command = match ? `gatehouse login ${match.provider.id}` : 'gatehouse login';
  return { kind: 'need', what: 'connection', code: 'connection_needed', hint: `connect it with: ${command}`, url: `${asked.publicUrl}/` };
}
