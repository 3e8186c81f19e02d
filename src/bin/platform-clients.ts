import type { Settings } from '#config';
import { Secret } from '#kernel';
import type { PlatformClients } from '#signin';

/** The platform's own clients at upstreams: those whose id and secret are both set. */
export function platformClients(settings: Settings): PlatformClients {
  const clients = {
    github: [settings.githubClientId, settings.githubClientSecret],
    google: [settings.googleClientId, settings.googleClientSecret],
    microsoft: [settings.microsoftClientId, settings.microsoftClientSecret],
  } as const;
  return Object.fromEntries(
    Object.entries(clients).flatMap(([kind, [id, secret]]) =>
      id === undefined || secret === undefined ? [] : [[kind, { id, secret: new Secret(secret) }]],
    ),
  );
}
