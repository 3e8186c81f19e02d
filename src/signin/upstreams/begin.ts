import { Fault } from '#kernel';
import { countedAs } from '#net';
import { bearerValue, createPkce } from '#oauth';
import { ephemeraKey } from '#store';
import { callbackOf } from './callback.ts';
import type { Departure, Upstream } from './contract.ts';
import type { UpstreamDeps } from './deps.ts';
import { unreachable } from './metadata.ts';
import { type OidcPreset, presets } from './presets.ts';
import { bindingOf, keepTransaction } from './transaction.ts';

/** Departures of one address. */
const departures = { most: 100, window: 15 * 60_000 };

/** Binds a new `state` to this browser and gives the address to send it to. */
export async function begin(deps: UpstreamDeps, departure: Departure): Promise<{ readonly to: string; readonly label: string }> {
  const { organization, address } = departure;
  const count = await deps.ephemera.bump(ephemeraKey('rate', 'upstream', countedAs(address)), departures.window);
  if (count > departures.most) throw new Fault('rate_limited', { retryAfter: departures.window / 1000 });
  const { upstream } = await deps.registry.wanted(organization, departure.upstream);
  const server = await deps.metadata.of(upstream);
  if (server.authorization_endpoint === undefined) throw unreachable(upstream);
  const [state, nonce, pkce] = [bearerValue(), bearerValue(), createPkce()];
  await keepTransaction(deps, state, {
    organization,
    upstream: upstream.id,
    version: upstream.version,
    nonce: nonce.reveal(),
    verifier: pkce.verifier.reveal(),
    binding: bindingOf(departure.binding),
    next: departure.next,
    again: departure.again,
    link: departure.link === undefined ? undefined : { user: departure.link.user.id, session: departure.link.id },
    at: deps.clock.now(),
  });
  const url = new URL(server.authorization_endpoint);
  const parameters = {
    response_type: 'code',
    client_id: upstream.source === 'platform' ? (deps.platformClients[upstream.kind]?.id ?? '') : upstream.clientId,
    redirect_uri: await callbackOf(deps, upstream),
    scope: upstream.scopes.join(' '),
    state: state.reveal(),
    code_challenge: pkce.challenge,
    code_challenge_method: 'S256',
    ...particular(upstream, nonce.reveal(), departure.again),
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return { to: url.href, label: upstream.label };
}

/** What only OpenID Connect has. */
function particular({ kind }: Upstream, nonce: string, again: boolean): Readonly<Record<string, string>> {
  const preset = presets[kind];
  if (preset.protocol === 'oauth2') return {};
  return {
    nonce,
    ...(preset.responseMode === undefined ? {} : { response_mode: preset.responseMode }),
    ...(again ? askAgain[preset.reauthentication] : {}),
  };
}

const askAgain: Readonly<Record<OidcPreset['reauthentication'], Readonly<Record<string, string>>>> = {
  max_age: { prompt: 'login', max_age: '0' },
  prompt: { prompt: 'login' },
  none: {},
};
