import { setTimeout as sleep } from 'node:timers/promises';
import type { startUpstream } from './upstream.ts';

/** Points of a refresh, in order, at which a test may step in. */
export type Stage = 'asked' | 'rotated' | 'answered';

/** An OAuth provider whose refresh tokens are good once: using one again ends what it belongs to. */
export interface RotatingProvider {
  /** Routes of a test's upstream: `/authorize`, `/token`, and `/oauth` for its API, which answers 401 to any but the current token. */
  readonly routes: NonNullable<Parameters<typeof startUpstream>[1]>;
  definition(host: string, port: number): Readonly<Record<string, unknown>>;
  /** Refreshes asked for so far. */
  readonly refreshes: () => number;
  /** How long the first token lives, in seconds, and how long a refresh takes, in milliseconds. */
  life: number;
  slowness: number;
  /** Told of each stage of each refresh; the refresh goes on when it resolves. */
  onStage: (stage: Stage) => Promise<void> | void;
}

interface Family {
  current: number;
  ended: boolean;
}

/** @param marks what its access and its refresh tokens contain */
export function rotatingProvider(marks = { access: 'at', refresh: 'rt' }): RotatingProvider {
  const families: Family[] = [];
  let refreshes = 0;

  const tokens = (at: number) => {
    const { current } = families[at] as Family;
    return {
      access_token: `${marks.access}.${at}.${current}`,
      refresh_token: `${marks.refresh}.${at}.${current}`,
      expires_in: current === 0 ? self.life : 3_600,
    };
  };
  const named = (token: string, kind: string) => {
    const [prefix, at, number] = token.split('.');
    const family = families[Number(at)];
    return prefix === kind && family !== undefined && !family.ended
      ? { at: Number(at), family, good: Number(number) === family.current }
      : undefined;
  };
  const refresh = (token: string) => {
    refreshes++;
    const found = named(token, marks.refresh);
    if (found?.good !== true) {
      if (found !== undefined) found.family.ended = true;
      return undefined;
    }
    found.family.current++;
    return tokens(found.at);
  };
  const exchange = async (parameters: URLSearchParams) => {
    if (parameters.get('grant_type') === 'authorization_code') {
      families.push({ current: 0, ended: false });
      return tokens(families.length - 1);
    }
    await self.onStage('asked');
    await sleep(self.slowness);
    const answer = refresh(parameters.get('refresh_token') ?? '');
    await self.onStage('rotated');
    return answer;
  };

  const self: RotatingProvider = {
    life: 1,
    slowness: 0,
    onStage: () => {},
    refreshes: () => refreshes,
    definition: (host, port) => ({
      id: 'rotating',
      name: 'Rotating',
      documentation: 'https://example.com/rotating',
      hosts: [{ host, port, path: '/oauth' }],
      auth: [
        {
          kind: 'oauth2',
          flows: ['pkce'],
          authorization_endpoint: `https://${host}:${port}/authorize`,
          token_endpoint: `https://${host}:${port}/token`,
          scopes: ['all'],
          client_authentication: 'none',
          inject: [{ kind: 'bearer' }],
        },
      ],
      variables: [],
    }),
    routes: {
      authorize(request, response) {
        const asked = new URL(request.url ?? '', 'https://provider').searchParams;
        const back = new URL(asked.get('redirect_uri') ?? '');
        back.search = String(new URLSearchParams({ code: 'a-code', state: asked.get('state') ?? '' }));
        response.writeHead(302, { location: back.href }).end();
      },
      token(_, response, body) {
        void exchange(new URLSearchParams(body.toString('utf8'))).then((answer) => {
          response.on('finish', () => void self.onStage('answered'));
          response
            .writeHead(answer === undefined ? 400 : 200, { 'content-type': 'application/json' })
            .end(JSON.stringify(answer ?? { error: 'invalid_grant' }));
        });
      },
      oauth(request, response) {
        const good = named((request.headers.authorization ?? '').replace(/^Bearer /, ''), marks.access)?.good === true;
        response.writeHead(good ? 200 : 401, { 'content-type': 'application/json' }).end(JSON.stringify({ ok: good }));
      },
    },
  };
  return self;
}
