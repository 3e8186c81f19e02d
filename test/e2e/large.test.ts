import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { ProxyAgent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startRun } from '../support/calling.ts';
import { hostileAgent } from '../support/hostile.ts';
import { count } from '../support/need.ts';
import { answers, must, withPerson } from '../support/person.ts';
import { makeWorld, type World } from '../support/world.ts';

const megabyte = 1024 * 1024;
const size = count(192, 1024) * megabyte;
/** What the server may grow by, however much passes through it. */
const bound = 128 * megabyte;
const patience = count(240_000, 1_200_000);

let world: World;
let dispatcher: ProxyAgent;
beforeAll(async () => {
  world = await makeWorld();
  const agent = await hostileAgent(world.site, 'carrier');
  must(await withPerson(world.site, ['policy', 'allow', 'carrier', 'example-api', 'everything'], [answers(world.site)]));
  const run = await startRun(agent);
  dispatcher = new ProxyAgent({
    uri: `http://127.0.0.1:${world.site.proxyPort}`,
    token: `Bearer ${run.credential}`,
    requestTls: { ca: run.authority_pem },
  });
  // What is loaded and compiled at the first calls is no growth of the transfer.
  await download(8 * megabyte);
  await upload(8 * megabyte);
});
afterAll(async () => {
  await dispatcher?.destroy();
  await world?.close();
});

async function download(bytes: number): Promise<number> {
  const { body, statusCode } = await request(`${world.api}/bytes/${bytes}`, { dispatcher });
  expect(statusCode).toBe(200);
  let received = 0;
  for await (const part of body) received += (part as Buffer).length;
  return received;
}

/** @returns what the API says of it, and the digest of what was sent */
async function upload(bytes: number): Promise<{ readonly arrived: unknown; readonly sha256: string }> {
  const hash = createHash('sha256');
  const block = Buffer.alloc(256 * 1024, 'y');
  const blocks = function* () {
    for (let left = bytes; left > 0; left -= block.length) {
      const part = block.subarray(0, Math.min(left, block.length));
      hash.update(part);
      yield part;
    }
  };
  const { body, statusCode } = await request(`${world.api}/digest`, { dispatcher, method: 'POST', body: Readable.from(blocks()) });
  expect(statusCode).toBe(200);
  return { arrived: await body.json(), sha256: hash.digest('hex') };
}

/** Resident bytes of the server process. */
function resident(): number {
  const [, kilobytes = ''] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${world.site.pid()}/status`, 'utf8')) ?? [];
  if (Number(kilobytes) < 10_000) throw new Error('the system does not tell what the server holds');
  return Number(kilobytes) * 1024;
}

/** The most that the server grew by meanwhile. */
async function growth<T>(act: () => Promise<T>): Promise<{ readonly grown: number; readonly value: T }> {
  const before = resident();
  let most = before;
  const timer = setInterval(() => {
    most = Math.max(most, resident());
  }, 50);
  try {
    const value = await act();
    return { grown: Math.max(most, resident()) - before, value };
  } finally {
    clearInterval(timer);
  }
}

const shown = `${size / megabyte} MB`;

describe(`${shown} pass through a server whose memory stays within ${bound / megabyte} MB of what it was`, () => {
  test(
    'down',
    async () => {
      const { grown, value } = await growth(() => download(size));
      expect(value).toBe(size);
      expect(grown).toBeLessThan(bound);
      process.stdout.write(`${shown} down: the server grew by ${Math.round(grown / megabyte)} MB\n`);
    },
    patience,
  );

  test(
    'up',
    async () => {
      const { grown, value } = await growth(() => upload(size));
      expect(value.arrived).toEqual({ bytes: size, sha256: value.sha256 });
      expect(grown).toBeLessThan(bound);
      process.stdout.write(`${shown} up: the server grew by ${Math.round(grown / megabyte)} MB\n`);
    },
    patience,
  );
});
