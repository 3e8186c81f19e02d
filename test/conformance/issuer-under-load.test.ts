import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { createIdentity } from '#identity';
import { createIssuer, type Issuer } from '#issuer';
import { createJobs } from '#jobs';
import { silentLog } from '#kernel';
import { createSignin } from '#signin';
import { openTestAudit } from '../support/audit.ts';
import { testNet } from '../support/connecting.ts';
import { basic, formOf, type Issuance, openIssuance, type Registered } from '../support/issuing.ts';
import { count } from '../support/need.ts';
import { openPeople } from '../support/people.ts';
import { openTestStore, temporaryFolder } from '../support/store.ts';
import { openTestVault } from '../support/vault.ts';

const seconds = count(6, 60);
/** A new key is published so long before it signs; ten minutes in the product. */
const lead = 1_500;
const [plain, opaque] = ['https://api.example/', 'https://opaque.example/'];
const closing: (() => void | Promise<void>)[] = [];
afterAll(async () => {
  for (const close of closing.reverse()) await close();
});

/** A token, and what is known of it: good until somebody begins to end it, and ended from when that was committed. */
interface Held {
  readonly token: string;
  readonly refresh: string | undefined;
  endingSince?: number;
  endedAt?: number;
}

interface Pair {
  readonly first: Issuance;
  readonly both: readonly [Issuer, Issuer];
}

/** Two servers in one process, each with a store, caches and a set of what ended of its own; time passes as it does outside. */
async function openPair(): Promise<Pair> {
  const place = { home: temporaryFolder(), ephemera: 'sql' } as const;
  const people = await openPeople({ store: place });
  const first = await openIssuance(people);
  const { clock, keyring } = people;
  const store = await openTestStore({ ...place, clock });
  const vault = await openTestVault(store, { keyring });
  const audit = await openTestAudit(store, { vault });
  const { records, ephemera, changes } = store;
  const ground = { records, ephemera, changes, vault, audit, clock, log: silentLog };
  const identity = createIdentity(ground);
  const signin = createSignin({ net: testNet([], clock), publicUrl: 'https://gatehouse.example', ...ground, identity });
  const jobs = createJobs({ records, clock, log: silentLog, kinds: [] });
  const second = createIssuer({ ...ground, identity, signin, jobs, net: testNet([], clock), registration: 'open' });
  let last = performance.now();
  const ticking = setInterval(() => {
    const now = performance.now();
    clock.advance(Math.round(now - last));
    last = now;
  }, 20);
  closing.push(
    () => second.close(),
    () => clearInterval(ticking),
  );
  return { first, both: [first.issuer, second] };
}

async function rotate({ first }: Pair): Promise<void> {
  const store = await first.issuer.nextSigningKey(first.by, 'ES256');
  await first.people.store.records.in(first.by.organization).write(async (tx) => {
    const id = await store(tx);
    await tx.db
      .updateTable('signing_keys')
      .set({ signs_from: first.people.clock.now() + lead })
      .where('id', '=', id)
      .execute();
  });
}

class Load {
  readonly held: Held[] = [];
  refused: string[] = [];
  asked = 0;
  ended = 0;
  rotations = 0;
  /** Milliseconds for which an ended token was still taken. */
  latest = 0;
  readonly pair: Pair;
  readonly client: Registered;
  #turn = 0;

  constructor(pair: Pair, client: Registered) {
    this.pair = pair;
    this.client = client;
  }

  any(): Issuer {
    return this.pair.both[this.#turn++ % 2] as Issuer;
  }

  async mint(): Promise<void> {
    const issuer = this.any();
    const resource = this.#turn % 3 === 0 ? plain : opaque;
    const parameters = formOf({ grant_type: 'client_credentials', resource });
    const { accessToken } = await issuer.token(await issuer.at(undefined), { parameters, authorization: basic(this.client) });
    this.held.push({ token: accessToken.reveal(), refresh: undefined });
  }

  async grant(): Promise<void> {
    const resource = this.#turn % 2 === 0 ? plain : opaque;
    const { accessToken, refreshToken } = await this.pair.first.tokens(this.client, { resource });
    this.held.push({ token: accessToken.reveal(), refresh: refreshToken?.reveal() });
  }

  async ask(): Promise<void> {
    const one = this.held[Math.floor(Math.random() * this.held.length)] as Held;
    const issuer = this.any();
    const [began, ending] = [performance.now(), one.endingSince];
    const request = { parameters: formOf({ token: one.token }), authorization: basic(this.client) };
    const { active } = await issuer.introspect(await issuer.at(undefined), request);
    this.asked++;
    if (active !== true && ending === undefined && one.endingSince === undefined) this.refused.push(one.token.slice(0, 40));
    if (active === true && one.endedAt !== undefined) this.latest = Math.max(this.latest, began - one.endedAt);
  }

  async end(): Promise<void> {
    const one = this.held.find(({ refresh, endingSince }) => refresh !== undefined && endingSince === undefined);
    if (one === undefined) return;
    const issuer = this.any();
    one.endingSince = performance.now();
    const request = { parameters: formOf({ token: one.refresh ?? '' }), authorization: basic(this.client) };
    await issuer.revoke(await issuer.at(undefined), request);
    one.endedAt = performance.now();
    this.ended++;
  }

  async every(pause: number, until: number, work: () => Promise<void>): Promise<void> {
    while (performance.now() < until) {
      await work();
      await sleep(pause);
    }
  }
}

test(
  'while keys rotate and grants end under load on two servers no good token is refused, and no ended one taken after a second',
  async () => {
    const pair = await openPair();
    const { first } = pair;
    const resource = { identifier: opaque, name: 'Opaque', scopes: [], tokenFormat: 'opaque', algorithm: 'ES256', open: false } as const;
    await first.people.store.records.in(first.by.organization).write((tx) => first.issuer.resources.add(tx, first.by, resource));
    const load = new Load(pair, await first.add({ resources: [plain, opaque] }));
    await sleep(1_200);
    await load.mint();
    const until = performance.now() + seconds * 1_000;
    await Promise.all([
      load.every(25, until, () => load.mint()),
      load.every(40, until, () => load.grant()),
      load.every(90, until, () => load.end()),
      load.every(2_000, until, async () => {
        await rotate(pair);
        load.rotations++;
      }),
      ...Array.from({ length: 4 }, () => load.every(2, until, () => load.ask())),
    ]);
    const { asked, ended, rotations, refused, latest } = load;
    process.stdout.write(
      `${asked} tokens asked about on two servers, ${rotations} new keys, ${ended} grants ended: ${refused.length} good ones refused, ended ones taken for ${latest.toFixed(0)} ms at most\n`,
    );
    expect([rotations > 1, ended > 10, asked > 100]).toEqual([true, true, true]);
    expect(refused).toEqual([]);
    expect(latest).toBeLessThan(1_000);
  },
  seconds * 1_000 + 60_000,
);
