import { randomUUID } from 'node:crypto';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll } from 'vitest';
import { createIdentity } from '#identity';
import { createIssuer, type Issuer } from '#issuer';
import { createJobs } from '#jobs';
import { Secret, silentLog } from '#kernel';
import { createSignin } from '#signin';
import type { StoreOptions } from '#store';
import { openTestAudit } from './audit.ts';
import { kinds, newDatabase } from './databases.ts';
import { basic, formOf, type Issuance, openIssuance, type Registered } from './issuing.ts';
import { testNet } from './net.ts';
import { openPeople } from './people.ts';
import { type RedisServer, startRedis } from './redis.ts';
import { openTestStore, temporaryFolder } from './store.ts';
import { openTestVault } from './vault.ts';

type Place = Pick<StoreOptions, 'home' | 'ephemera' | 'database' | 'redis'>;

let redis: RedisServer | undefined;
afterAll(() => redis?.stop());

/** Everywhere that servers can have in common. */
export const places: readonly { readonly name: string; readonly needs: readonly string[]; make(): Promise<Place> }[] = [
  { name: 'sqlite', needs: [], make: async () => ({ home: temporaryFolder(), ephemera: 'sql' }) },
  ...kinds.map((kind) => ({
    ...kind,
    make: async () => ({ home: temporaryFolder(), ephemera: 'sql' as const, database: await newDatabase(kind) }),
  })),
  ...kinds.slice(0, 1).map((kind) => ({
    name: `${kind.name} with redis`,
    needs: [...kind.needs, 'redis-server'],
    async make() {
      redis ??= await startRedis();
      const database = await newDatabase(kind);
      const url = new Secret(`redis://127.0.0.1:${redis.port}`);
      return {
        home: temporaryFolder(),
        ephemera: 'redis' as const,
        database,
        redis: { url, connectTimeout: 2_000, commandTimeout: 1_000 },
      };
    },
  })),
];

/** Two replicas on one place: each with a store, caches and a set of endings of its own. */
export interface Pair {
  readonly first: Issuance;
  readonly both: readonly [Issuer, Issuer];
  ask(which: 0 | 1, client: Registered, parameters: Readonly<Record<string, string>>): ReturnType<Issuer['token']>;
  active(which: 0 | 1, client: Registered, token: string): Promise<boolean>;
  /** The other replica has learnt what was committed. */
  heard(): Promise<void>;
  /** Before the test file is done, where many pairs would take more connections than a server has. */
  close(): Promise<void>;
}

export async function openPair(place: Place): Promise<Pair> {
  const people = await openPeople({ store: place });
  // Redis has its own time, and remembers from its start on what was used (SECURITY 14).
  const since = Math.ceil((await people.store.ephemera.since('any')) / 1000) * 1000;
  people.clock.set(Math.max(people.clock.now(), since));
  const first = await openIssuance(people);
  const { clock, keyring } = people;
  const store = await openTestStore({ ...place, clock });
  const vault = await openTestVault(store, { keyring });
  const audit = await openTestAudit(store, { vault, ...('database' in place ? { writer: 'second' } : {}) });
  const { records, ephemera, changes } = store;
  const ground = { records, ephemera, changes, vault, audit, clock, log: silentLog };
  const identity = createIdentity(ground);
  const signin = createSignin({ net: testNet([], clock), publicUrl: 'https://gatehouse.example', ...ground, ephemera, identity });
  const jobs = createJobs({ records, clock, log: silentLog, kinds: [] });
  const second = createIssuer({ ...ground, identity, signin, jobs, net: testNet([], clock), registration: 'open' });
  const both = [first.issuer, second] as const;
  const at = (which: 0 | 1) => both[which].at(undefined);
  const request = (client: Registered, parameters: Readonly<Record<string, string>>) => ({
    parameters: formOf(parameters),
    authorization: basic(client),
  });
  return {
    first,
    both,
    ask: async (which, client, parameters) => both[which].token(await at(which), request(client, parameters)),
    active: async (which, client, token) => (await both[which].introspect(await at(which), request(client, { token }))).active === true,
    heard: async () => void (await store.migrate()),
    async close() {
      for (const issuer of both) await issuer.close();
      for (const one of [store, people.store]) await one.close();
    },
  };
}

export const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code';
export const cibaGrant = 'urn:openid:params:grant-type:ciba';
export const bearerGrant = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const here = '127.0.0.1';

/** Asked of one replica, typed and approved at the other. */
export async function approvedDevice({ first, both }: Pair, client: Registered): Promise<string> {
  const asking = { parameters: formOf({ scope: 'things:read' }), authorization: basic(client) };
  // As many as the test needs come from one address.
  const from = `198.51.100.${Math.floor(Math.random() * 256)}`;
  const { deviceCode, userCode } = await both[0].devices.authorize(first.at, asking, from);
  const at = await both[1].at(undefined);
  const { transaction } = await both[1].devices.type(at, first.session, userCode, from);
  await both[1].devices.answer(at, first.session, transaction, true);
  return deviceCode.reveal();
}

export async function approvedRequest({ first, both }: Pair, client: Registered): Promise<string> {
  const asking = { parameters: formOf({ scope: 'openid', login_hint: first.session.user.id }), authorization: basic(client) };
  const { authReqId } = await both[0].backchannel.authenticate(first.at, asking, here);
  const [waiting] = await both[1].backchannel.waiting(first.session);
  await both[1].backchannel.answer(await both[1].at(undefined), first.session, waiting?.id ?? '', true);
  return authReqId.reveal();
}

/** Makes assertions of an issuer that is trusted for this client. */
export async function trustedSigner({ people, issuer, by, at }: Issuance, client: Registered): Promise<() => Promise<string>> {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  const keys = { kind: 'jwks', keys: [{ ...(await exportJWK(publicKey)) }] } as const;
  const trust = { issuer: 'https://ci.example', keys, client: client.id, user: undefined, subjects: ['job'], claims: {} };
  await people.store.records.in(by.organization).write((tx) => issuer.trustedIssuers.add(tx, by, trust));
  // A minute ahead: an earlier one may have been used before that.
  const now = Math.floor(people.clock.now() / 1000) + 60;
  return () =>
    new SignJWT({ iss: trust.issuer, sub: 'job', aud: at.issuer, iat: now, exp: now + 300, jti: randomUUID() })
      .setProtectedHeader({ alg: 'ES256' })
      .sign(privateKey);
}
