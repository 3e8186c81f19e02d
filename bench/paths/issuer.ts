import { compare, type Row } from '../row.ts';
import { type Ask, type Issuing, inFlight, startIssuing, type Taken } from '../support/issuing/load.ts';
import { jwtResource, opaqueResource, redirectUri } from '../support/issuing/target.ts';

const rounds = 3;

/** One path of the authorization server: how many requests are a round, and how they are made for one server. */
interface Path {
  readonly name: string;
  readonly count: number;
  /** Where the floor does the same. */
  readonly floor?: string;
  /** Of the rate against oidc-provider, and of the CPU against the floor. */
  readonly budgets: { readonly rate: string; readonly floor?: string };
  ask(issuing: Issuing, count: number): Promise<Ask>;
}

const ownToken = (resource: string) => ({ grant_type: 'client_credentials', scope: 'things:read', resource });

function clientCredentials(resource: string): Path['ask'] {
  return async ({ target: { client, paths } }) => ({ next: () => ({ path: paths.token, by: client, form: ownToken(resource) }) });
}

/** Each of the tokens that the client has, over and over. */
function introspection(resource: string): Path['ask'] {
  return async (issuing) => {
    const tokens: string[] = [];
    const given = await clientCredentials(resource)(issuing, 200);
    await issuing.measure(200, { ...given, read: (_, { access_token }) => void tokens.push(String(access_token)) });
    const { server, paths } = issuing.target;
    let at = 0;
    return { next: () => ({ path: paths.introspect, by: server, form: { token: tokens[at++ % tokens.length] as string } }) };
  };
}

const codeExchange: Path['ask'] = async (issuing, count) => {
  const { client, paths } = issuing.target;
  const codes = [...(await issuing.codes(count + inFlight))];
  return {
    next() {
      const { code = '', verifier = '' } = codes.pop() ?? {};
      const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: redirectUri, resource: jwtResource };
      return { path: paths.token, by: client, form };
    },
  };
};

/** Each lane has a token of its own, and goes on with its successor. */
const refresh: Path['ask'] = async (issuing) => {
  const { client, paths } = issuing.target;
  const tokens: string[] = [];
  const first = await codeExchange(issuing, inFlight);
  await issuing.measure(inFlight, { ...first, read: (_, { refresh_token }) => void tokens.push(String(refresh_token)) });
  return {
    next: (lane) => ({
      path: paths.token,
      by: client,
      form: { grant_type: 'refresh_token', refresh_token: tokens[lane] as string, resource: jwtResource },
    }),
    read: (lane, { refresh_token }) => {
      tokens[lane] = String(refresh_token);
    },
  };
};

const paths: readonly Path[] = [
  {
    name: 'client_credentials, ES256 JWT',
    count: 2_000,
    floor: '/token',
    budgets: { rate: '≥ 3', floor: '≤ 1.6' },
    ask: clientCredentials(jwtResource),
  },
  {
    name: 'client_credentials, opaque',
    count: 2_000,
    floor: '/token-opaque',
    budgets: { rate: '≥ 3', floor: '≤ 1.6' },
    ask: clientCredentials(opaqueResource),
  },
  {
    name: 'introspection, opaque',
    count: 2_000,
    floor: '/introspect',
    budgets: { rate: '≥ 3', floor: '≤ 1.6' },
    ask: introspection(opaqueResource),
  },
  // Of a JWT oidc-provider tells nothing.
  // Its memory holds a thousand things: codes, grants and tokens.
  { name: 'code exchange', count: 200, budgets: { rate: '≥ 1' }, ask: codeExchange },
  { name: 'refresh', count: 600, budgets: { rate: '≥ 1' }, ask: refresh },
  {
    name: 'discovery',
    count: 2_000,
    floor: '/',
    budgets: { rate: '≥ 1', floor: '≤ 1.6' },
    ask: async () => reading('/.well-known/openid-configuration'),
  },
  {
    name: 'key set',
    count: 2_000,
    floor: '/',
    budgets: { rate: '≥ 1', floor: '≤ 1.6' },
    ask: async ({ target }) => reading(target.paths.keySet),
  },
];

function reading(path: string): Ask {
  return { next: () => ({ path }) };
}

/** The authorization server, everything durable, beside oidc-provider in memory and beside what each request cannot do without. */
export async function measure(): Promise<readonly Row[]> {
  const ours = await startIssuing('ours');
  const rival = await startIssuing('rival');
  const floor = await startIssuing('floor');
  try {
    const rows: Row[] = [];
    for (const path of paths) rows.push(...(await beside(path, ours, rival, floor)));
    return rows;
  } finally {
    for (const one of [ours, rival, floor]) one.stop();
  }
}

async function beside(path: Path, ours: Issuing, rival: Issuing, floor: Issuing): Promise<readonly Row[]> {
  const taken: { ours: Taken[]; rival: Taken[]; floor: Taken[] } = { ours: [], rival: [], floor: [] };
  for (let round = 0; round <= rounds; round++) {
    const [mine, theirs, least] = [await once(path, ours), await once(path, rival), await onFloor(path, floor)];
    if (round === 0) continue;
    taken.ours.push(mine);
    taken.rival.push(theirs);
    if (least !== undefined) taken.floor.push(least);
  }
  const all = (of: readonly Taken[], member: keyof Taken) => of.map((one) => one[member]);
  const cpu = { name: path.name, unit: 'µs CPU', ours: all(taken.ours, 'cpu') };
  const against = 'oidc-provider in memory';
  const [, bound = '1'] = path.budgets.rate.split(' ');
  return [
    compare({
      name: path.name,
      unit: 'a second',
      ours: all(taken.ours, 'rate'),
      against,
      other: all(taken.rival, 'rate'),
      budget: path.budgets.rate,
    }),
    compare({ ...cpu, against, other: all(taken.rival, 'cpu'), budget: `≤ ${(1 / Number(bound)).toFixed(3)}` }),
    ...(path.budgets.floor === undefined
      ? []
      : [compare({ ...cpu, against: 'node:http, bare', other: all(taken.floor, 'cpu'), budget: path.budgets.floor })]),
  ];
}

async function once(path: Path, issuing: Issuing): Promise<Taken> {
  return issuing.measure(path.count, await path.ask(issuing, path.count));
}

async function onFloor({ count, floor: place }: Path, floor: Issuing): Promise<Taken | undefined> {
  if (place === undefined) return undefined;
  const { client } = floor.target;
  const form = { ...ownToken(jwtResource), token: 'a'.repeat(43) };
  return floor.measure(count, { next: () => (place === '/' ? { path: place } : { path: place, by: client, form }) });
}
