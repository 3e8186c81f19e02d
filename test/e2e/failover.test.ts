import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { type Browser, createBrowser, type Page } from '../support/browser.ts';
import type { Heard } from '../support/hostile.ts';
import { until } from '../support/installation.ts';
import { testWith } from '../support/need.ts';
import { ownNeeds, ownServer } from '../support/own-server.ts';
import { type RedisServer, startSentinel } from '../support/redis.ts';
import { newProver, publicUrl, type Replica, type Site, siteOwner, startSite } from '../support/replicas.ts';

/** What went on while the primary was killed. */
interface Watch {
  /** Codes of refused steps, each told with when to come again. */
  readonly refused: string[];
}

const patience = 30_000;

/** One step at the API, again for as long as it is refused with when to come again. */
async function step(
  watch: Watch,
  replica: Replica,
  method: string,
  path: string,
  given: { body?: object; authorization?: () => string; invitation?: string } = {},
): Promise<Heard> {
  const body = given.body === undefined ? {} : { body: JSON.stringify(given.body) };
  for (const end = performance.now() + patience; ; ) {
    const headers = {
      ...(given.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(given.invitation === undefined ? {} : { 'gatehouse-invitation': given.invitation }),
      ...(given.authorization === undefined ? {} : { authorization: given.authorization() }),
    };
    const heard = await replica.say({ method, path, headers, ...body });
    if (heard.status !== 503) return heard;
    watch.refused.push(/"code":"(\w+)"/.exec(heard.text)?.[1] ?? 'none');
    const after = Number(heard.headers['retry-after']);
    expect(after).toBeGreaterThan(0);
    if (performance.now() > end) throw new Error(`refused for too long: ${heard.text}`);
    await sleep(after * 1_000);
  }
}

/** A person before a balancer, which sends each request to the other replica. */
function personBefore(replicas: readonly Replica[]): Browser {
  let turn = 0;
  return createBrowser({ through: () => `http://127.0.0.1:${replicas[turn++ % replicas.length]?.port}` });
}

/** One page, again for as long as the server cannot answer. */
async function page(watch: Watch, open: () => Promise<Page>): Promise<Page> {
  for (const end = performance.now() + patience; ; ) {
    const got = await open();
    if (got.status !== 503) return got;
    watch.refused.push('page');
    if (performance.now() > end) throw new Error(`refused for too long: ${got.text}`);
    await sleep(500);
  }
}

/** Begun anew when what was laid for it was lost with the primary. */
async function again<T>(work: () => Promise<T | undefined>): Promise<T> {
  for (let tries = 0; tries < 10; tries++) {
    const done = await work();
    if (done !== undefined) return done;
    await sleep(500);
  }
  throw new Error('it never came to an end');
}

/** A command line signs in: offered by one replica, approved in the browser, collected from the other. */
async function signInCommandLine(watch: Watch, [first, second]: readonly Replica[], browser: Browser): Promise<string> {
  return again(async () => {
    const offered = await step(watch, first as Replica, 'POST', '/v1/command-line', { body: { label: 'laptop' } });
    const { user_code: code, device_code } = JSON.parse(offered.text) as Record<string, string>;
    const blank = await page(watch, () => browser.open(`${publicUrl}/device`));
    const shown = await page(watch, () => browser.submit(blank, '/device', { code: code ?? '' }));
    if (!shown.text.includes('/device/approve')) return undefined;
    await page(watch, () => browser.submit(shown, '/device/approve', { password: siteOwner.password }));
    const collected = await step(watch, second as Replica, 'POST', '/v1/command-line/collect', { body: { device_code } });
    if (collected.status !== 200) return undefined;
    // What was collected on the one is not collected on the other.
    const twice = await step(watch, first as Replica, 'POST', '/v1/command-line/collect', { body: { device_code } });
    expect(twice.status).not.toBe(200);
    return (JSON.parse(collected.text) as { session: string }).session;
  });
}

/** An agent gets a claim code from one replica, which is typed on the other. */
async function claim(watch: Watch, [first, second]: readonly Replica[], browser: Browser, invitation: string): Promise<void> {
  const { jwk, proof } = newProver();
  const ask = (replica: Replica, path: string, body: object) =>
    step(watch, replica, 'POST', path, { body, invitation, authorization: () => proof('POST', path, JSON.stringify(body)) });
  const made = await again(async () => {
    const answer = await ask(first as Replica, '/v1/agents', { handle: `claimed-${Date.now()}`, public_jwk: jwk });
    return answer.status === 201 ? (JSON.parse(answer.text) as { id: string }) : undefined;
  });
  await again(async () => {
    const offered = await ask(first as Replica, `/v1/agents/${made.id}/claim`, { host: 'here' });
    if (offered.status !== 201) return undefined;
    const { code } = JSON.parse(offered.text) as { code: string };
    const blank = await page(watch, () => browser.open(`${publicUrl}/claim`));
    const typed = await page(watch, () => browser.submit(blank, '/claim', { code, password: siteOwner.password }));
    if (!typed.text.includes('Is this your terminal?')) return undefined;
    const twice = await page(watch, () => browser.submit(blank, '/claim', { code, password: siteOwner.password }));
    expect(twice.text).not.toContain('Is this your terminal?');
    const accepted = await ask(second as Replica, `/v1/agents/${made.id}/claim/answer`, { accept: true });
    return accepted.status === 200 ? true : undefined;
  });
}

interface Seen {
  readonly at: number;
  readonly replica: number;
  readonly status: number;
  readonly code: string;
}

/** Shows each new proof to one replica, then to the other, until told to stop. */
async function showProofs({ replicas, proof }: Site, going: () => boolean, seen: Seen[]): Promise<number> {
  let twice = 0;
  for (let turn = 0; going(); turn++) {
    const authorization = proof('GET', '/v1/whoami');
    let accepted = 0;
    for (const index of turn % 2 === 0 ? [0, 1] : [1, 0]) {
      const { status, text } = await (replicas[index] as Replica).say({ path: '/v1/whoami', headers: { authorization } });
      seen.push({ at: performance.now(), replica: index, status, code: /"code":"(\w+)"/.exec(text)?.[1] ?? '' });
      if (status === 200) accepted += 1;
    }
    if (accepted > 1) twice += 1;
    await sleep(20);
  }
  return twice;
}

async function primaryOf(servers: readonly RedisServer[]): Promise<RedisServer> {
  const roles = await Promise.all(servers.map(({ admin }) => admin.info('replication')));
  return servers[roles.findIndex((text) => text.includes('role:master'))] as RedisServer;
}

/** Says with a failure what the servers and the sentinels made of it: a sentinel in tilt, after a halt of the machine, promotes nobody. */
async function toldBy<T>(living: readonly RedisServer[], sentinels: readonly RedisServer[], work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    const parts = [...living.map(({ admin }) => admin.info('replication')), ...sentinels.map(({ admin }) => admin.info('sentinel'))];
    const facts = (await Promise.all(parts))
      .join('')
      .match(/^(role|master_host|master_port|master_link_status|sentinel_tilt|master0):.*$/gm);
    throw new Error(`${cause instanceof Error ? cause.message : String(cause)}; ${facts?.join(', ')}`, { cause });
  }
}

testWith(...ownNeeds.postgresql, 'redis-server')(
  'what two replicas begin, the other ends, also while the primary of Redis is killed; nothing is accepted twice, and what ends, ends on both',
  async () => {
    const { url, servers, sentinels } = await startSentinel({ word: 'word' });
    const { database } = await ownServer('postgresql');
    const redisUrl = url.replace('//', '//:word@');
    const site = await startSite([
      { database, redisUrl },
      { database, redisUrl },
    ]);
    const { replicas, agent } = site;
    const watch: Watch = { refused: [] };
    const browser = personBefore(replicas);
    const entry = await browser.open(`${publicUrl}/signin`);
    await browser.submit(entry, '/signin', { email: siteOwner.email, password: siteOwner.password });
    const session = await signInCommandLine(watch, replicas, browser);

    const seen: Seen[] = [];
    let going = true;
    const showing = showProofs(site, () => going, seen);
    await until(() => seen.filter(({ status }) => status === 200).length > 10);
    const primary = await primaryOf(servers);
    await primary.stop('SIGKILL');
    const killed = performance.now();
    const ending = Promise.all([signInCommandLine(watch, [...replicas].reverse(), browser), claim(watch, replicas, browser, session)]);
    await toldBy(
      servers.filter((server) => server !== primary),
      sentinels,
      ending,
    );
    process.stderr.write(
      `while the primary was killed: signed in and claimed after ${((performance.now() - killed) / 1000).toFixed(1)} s, with ${watch.refused.length} refusals\n`,
    );
    await until(() => seen.some(({ at, status }) => status === 200 && at > killed + 2_000), patience);

    await (await primaryOf(servers.filter((server) => server !== primary))).stop('SIGKILL');
    const told = await step(watch, replicas[0] as Replica, 'POST', `/v1/agents/${agent.id}/suspend`, {
      authorization: () => `Bearer ${session}`,
    });
    expect(told.status).toBe(200);
    const suspended = performance.now();
    await sleep(3_000);
    going = false;
    expect(await showing).toBe(0);
    const late = seen.filter(({ at }) => at > suspended + 1_000);
    expect(late.filter(({ status }) => status === 200)).toEqual([]);
    for (const index of [0, 1]) expect(late.some(({ replica, code }) => replica === index && code === 'agent_not_active')).toBe(true);
    expect(seen.some(({ code }) => code === 'proof_replayed')).toBe(true);
    expect(watch.refused.filter((code) => !['unavailable', 'proof_unremembered', 'page'].includes(code))).toEqual([]);
  },
  120_000,
);
