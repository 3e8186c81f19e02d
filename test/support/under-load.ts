import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from './installation.ts';
import { count, long } from './need.ts';
import type { Replica, Site } from './replicas.ts';

/** What happened to everything that was used once, or should have been, while something went wrong. */
export interface Tally {
  /** How many uses of each single-use value were accepted, by the value. */
  readonly accepted: ReadonlyMap<string, number>;
  /** Rows that were said to be written. */
  readonly noted: readonly string[];
  /** Refusals of a replica by code; `gone`: no answer. */
  readonly refused: ReadonlyMap<string, ReadonlyMap<string, number>>;
  /** What should never have been answered. */
  readonly wrong: readonly string[];
  /** Values of each kind that were contended. */
  readonly items: number;
  /** Milliseconds from the moment all was whole until every replica took everything. */
  readonly normalAfter: number;
}

interface Item {
  readonly key: string;
  readonly made: number;
  /** Header of a proof that the servers are shown. */
  readonly proof: string;
}

const path = '/v1/whoami';
/** Values of each kind that must be contended; more while the fault lasts. */
const least = count(60, 10_000);
/** As many again are used once more afterwards, the latest. */
const usedAgain = count(60, 1_000);

/** Uses new values on every replica at once while `strike` runs and until all is normal again, and everything once more after that. */
export async function underLoad(site: Site, strike: (site: Site) => Promise<void>, patience = 30_000): Promise<Tally> {
  const load = new Load(site);
  let going = true;
  const loops = Array.from({ length: 3 }, () => load.contend(() => going));
  await until(() => load.items.length >= 10, 30_000);
  await strike(site);
  const whole = performance.now();
  for (const replica of site.replicas)
    await until(
      () => load.takesEverything(replica),
      patience,
      () => `${replica.name} is not normal: ${load.told()}`,
    );
  const normalAfter = performance.now() - whole;
  // What was used while it was broken is dead now.
  await load.useAgain(load.items.slice(-usedAgain));
  await until(() => load.items.length >= least, long ? 1_200_000 : 60_000);
  going = false;
  await Promise.all(loops);
  await load.useAgain(load.items.slice(-usedAgain));
  await load.lookForNotes();
  return { ...load, items: load.items.length, normalAfter };
}

class Load {
  readonly #site: Site;
  #gone = 0;
  readonly accepted = new Map<string, number>();
  readonly noted: string[] = [];
  readonly refused = new Map<string, Map<string, number>>();
  readonly wrong: string[] = [];
  readonly items: Item[] = [];

  constructor(site: Site) {
    this.#site = site;
  }

  told(): string {
    return JSON.stringify([...this.refused].map(([name, codes]) => [name, ...codes]));
  }

  async contend(going: () => boolean): Promise<void> {
    for (let turn = 0; going(); turn++) {
      const { replicas } = this.#site;
      const replica = replicas[turn % replicas.length] as Replica;
      const key = randomBytes(12).toString('hex');
      await this.#ask(replica, 'lay', key, 'laid');
      if ((await this.#ask(replica, 'note', key, 'note')) === 'won') this.noted.push(key);
      const item = { key, made: Date.now(), proof: this.#site.proof('GET', path) };
      this.items.push(item);
      const before = this.#gone;
      await this.#use(item);
      // Who is not there refuses at once.
      await sleep(this.#gone > before ? 20 : 2);
    }
  }

  /** Every value of an item, on every replica at once, and twice on the first. */
  async #use(item: Item): Promise<void> {
    const [first] = this.#site.replicas;
    await Promise.all(
      [...this.#site.replicas, first as Replica].flatMap((replica) => [
        this.#ask(replica, 'code', item.key, 'code'),
        this.#ask(replica, 'lease', item.key, 'lease'),
        this.#ask(replica, 'proof', item.key, 'mark', item.made),
        this.#show(replica, item),
      ]),
    );
  }

  async useAgain(items: readonly Item[]): Promise<void> {
    for (const item of items) await this.#use(item);
  }

  async lookForNotes(): Promise<void> {
    const [replica] = this.#site.replicas;
    for (const key of this.noted) if ((await replica?.ask('noted', key)) !== 'won') this.wrong.push(`lost: ${key}`);
  }

  /** Asks a contender for what only one may get. */
  async #ask(replica: Replica, verb: string, key: string, kind: string, more = 0): Promise<string> {
    const outcome = await replica.ask(verb, key, more);
    if (outcome === 'won') this.#accept(`${kind}:${key}`);
    else if (outcome.startsWith('refused:')) this.#refuse(replica, outcome.slice(8));
    else if (outcome !== 'lost') this.wrong.push(`${replica.name}, ${verb}: ${outcome}`);
    return outcome;
  }

  /** Shows the server a proof, as an agent would. */
  async #show(replica: Replica, { key, proof }: Item): Promise<number> {
    const { status, headers, text } = await replica.say({ path, headers: { authorization: proof } });
    const code = /"code":"(\w+)"/.exec(text)?.[1] ?? 'none';
    if (status === 200) this.#accept(`proof:${key}`);
    else if (status === 0) this.#refuse(replica, 'gone');
    else if (status === 503 && Number(headers['retry-after']) > 0) this.#refuse(replica, code);
    else if (code === 'invalid_proof') this.#refuse(replica, code);
    else if (code !== 'proof_replayed') this.wrong.push(`${replica.name}: ${status} ${text}`);
    return status;
  }

  #accept(value: string): void {
    this.accepted.set(value, (this.accepted.get(value) ?? 0) + 1);
  }

  #refuse({ name }: Replica, code: string): void {
    if (code === 'gone') this.#gone += 1;
    const codes = this.refused.get(name) ?? new Map<string, number>();
    this.refused.set(name, codes.set(code, (codes.get(code) ?? 0) + 1));
  }

  /** True once a replica by itself takes one of each. */
  async takesEverything(replica: Replica): Promise<boolean> {
    const ready = await replica.say({ path: '/health/ready' });
    if (ready.status !== 200) return false;
    const key = randomBytes(12).toString('hex');
    if ((await replica.ask('lay', key)) !== 'won') return false;
    for (const verb of ['code', 'lease', 'note']) if ((await replica.ask(verb, key)) !== 'won') return false;
    if ((await replica.ask('proof', key, Date.now())) !== 'won') return false;
    return (await replica.say({ path, headers: { authorization: this.#site.proof('GET', path) } })).status === 200;
  }
}
