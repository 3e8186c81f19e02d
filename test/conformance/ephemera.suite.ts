import { expect } from 'vitest';
import type { FakeClock } from '#kernel';
import type { Ephemera } from '#store';
import type { Case } from './suite.ts';

/** Two instances over the same data (in memory: one instance twice), and their clock. */
export interface EphemeraBackend {
  readonly first: Ephemera;
  readonly second: Ephemera;
  readonly clock: FakeClock;
}

const crowd = 40;

/** Calls both instances in turn, all at once. */
function everybody<T>({ first, second }: EphemeraBackend, act: (ephemera: Ephemera, index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: crowd }, (_, index) => act(index % 2 === 0 ? first : second, index)));
}

const count = (answers: readonly unknown[], wanted: unknown) => answers.filter((answer) => answer === wanted).length;

const badKeys = ['', 'x'.repeat(513), '€'.repeat(171), '\ud800', 'a\udc00b'];
const goodKeys = [
  'x'.repeat(512),
  '€'.repeat(170),
  ' ',
  'a ',
  'a',
  'A',
  'é',
  'e\u0301',
  '%',
  '_',
  "o'brien",
  '日本',
  '👩‍👩‍👧',
  'a\u0000b',
  'a\u0000c',
  '"',
];
const badLives = [0, -1, -1000, 1.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 2 ** 60];

const calls: Record<string, (ephemera: Ephemera, key: string, ttl: number) => Promise<unknown>> = {
  get: (ephemera, key) => ephemera.get(key),
  put: (ephemera, key, ttl) => ephemera.put(key, 'value', ttl),
  claim: (ephemera, key, ttl) => ephemera.claim(key, 'value', ttl),
  take: (ephemera, key) => ephemera.take(key),
  drop: (ephemera, key) => ephemera.drop(key, 'value'),
  bump: (ephemera, key, ttl) => ephemera.bump(key, ttl),
};

const values: readonly Case<EphemeraBackend>[] = [
  {
    name: 'what was never put is absent to every verb',
    async run({ first }) {
      expect(await first.get('absent')).toBeUndefined();
      expect(await first.take('absent')).toBeUndefined();
      expect(await first.drop('absent', 'value')).toBe(false);
    },
  },
  {
    name: 'a value is found under its key by every instance, and replaced by the next put',
    async run({ first, second }) {
      await first.put('key', 'one', 1000);
      expect(await second.get('key')).toBe('one');
      await second.put('key', 'two', 1000);
      expect(await first.get('key')).toBe('two');
    },
  },
  {
    name: 'a value lives for its life and not a millisecond longer',
    async run({ first, clock }) {
      await first.put('key', 'value', 1000);
      clock.advance(999);
      expect(await first.get('key')).toBe('value');
      clock.advance(1);
      expect(await first.get('key')).toBeUndefined();
    },
  },
  {
    name: 'the shortest life is a millisecond',
    async run({ first, clock }) {
      await first.put('key', 'value', 1);
      expect(await first.get('key')).toBe('value');
      clock.advance(1);
      expect(await first.get('key')).toBeUndefined();
    },
  },
  {
    name: 'putting again starts a new life, longer or shorter',
    async run({ first, clock }) {
      await first.put('longer', 'value', 100);
      await first.put('longer', 'value', 1000);
      await first.put('shorter', 'value', 1000);
      await first.put('shorter', 'value', 100);
      clock.advance(500);
      expect(await first.get('longer')).toBe('value');
      expect(await first.get('shorter')).toBeUndefined();
    },
  },
  {
    name: 'reading does not lengthen a life',
    async run({ first, clock }) {
      await first.put('key', 'value', 1000);
      clock.advance(600);
      await first.get('key');
      clock.advance(600);
      expect(await first.get('key')).toBeUndefined();
    },
  },
  {
    name: 'keys are compared byte by byte, and values come back as they were',
    async run({ first, second }) {
      for (const key of goodKeys) await first.put(key, `value of ${key}`, 1000);
      for (const key of goodKeys) expect(await second.get(key)).toBe(`value of ${key}`);
    },
  },
  {
    name: 'a value is compared byte by byte: one that looks the same drops nothing',
    async run({ first, second }) {
      await first.put('key', 'a', 1000);
      for (const value of ['A', 'a ', 'á', 'a\u0301', 'ａ']) expect(await second.drop('key', value)).toBe(false);
      expect(await second.drop('key', 'a')).toBe(true);
    },
  },
  {
    name: 'an empty value is a value',
    async run({ first }) {
      await first.put('key', '', 1000);
      expect(await first.get('key')).toBe('');
      expect(await first.claim('key', 'x', 1000)).toBe(false);
      expect(await first.take('key')).toBe('');
    },
  },
  {
    name: 'a value of 64 KiB is kept whole, also in characters of several bytes',
    async run({ first }) {
      for (const value of ['x'.repeat(65_536), '€'.repeat(21_845)]) {
        await first.put('key', value, 1000);
        expect(await first.get('key')).toBe(value);
      }
    },
  },
];

const input: readonly Case<EphemeraBackend>[] = [
  {
    name: 'an empty, over-long or malformed key is refused by every verb',
    async run({ first }) {
      for (const call of Object.values(calls)) for (const key of badKeys) await expect(call(first, key, 1000)).rejects.toThrow(RangeError);
    },
  },
  {
    name: 'a life that is not a positive integer is refused and changes nothing',
    async run({ first }) {
      await first.put('key', 'before', 1000);
      for (const ttl of badLives) {
        await expect(first.put('key', 'after', ttl)).rejects.toThrow(RangeError);
        await expect(first.claim('other', 'after', ttl)).rejects.toThrow(RangeError);
        await expect(first.bump('counter', ttl)).rejects.toThrow(RangeError);
      }
      expect(await first.get('key')).toBe('before');
      expect(await first.get('other')).toBeUndefined();
      expect(await first.bump('counter', 1000)).toBe(1);
    },
  },
  {
    name: 'an over-long or malformed value is refused and changes nothing',
    async run({ first }) {
      for (const value of ['x'.repeat(65_537), '€'.repeat(21_846), 'a\ud800']) {
        await expect(first.put('key', value, 1000)).rejects.toThrow(RangeError);
        await expect(first.claim('key', value, 1000)).rejects.toThrow(RangeError);
      }
      expect(await first.get('key')).toBeUndefined();
    },
  },
];

const claiming: readonly Case<EphemeraBackend>[] = [
  {
    name: 'exactly one of many claims wins, and its value stays',
    async run(backend) {
      const answers = await everybody(backend, (ephemera, index) => ephemera.claim('key', `owner ${index}`, 1000));
      expect(count(answers, true)).toBe(1);
      expect(await backend.first.get('key')).toBe(`owner ${answers.indexOf(true)}`);
    },
  },
  {
    name: 'exactly one of many claims wins what has expired',
    async run(backend) {
      await backend.first.claim('key', 'old', 1000);
      backend.clock.advance(1000);
      const answers = await everybody(backend, (ephemera) => ephemera.claim('key', 'new', 1000));
      expect(count(answers, true)).toBe(1);
    },
  },
  {
    name: 'a claim loses while the key lives, and changes neither its value nor its life',
    async run({ first, second, clock }) {
      await first.put('key', 'held', 1000);
      clock.advance(999);
      expect(await second.claim('key', 'other', 5000)).toBe(false);
      expect(await first.get('key')).toBe('held');
      clock.advance(1);
      expect(await first.get('key')).toBeUndefined();
      expect(await second.claim('key', 'other', 5000)).toBe(true);
      clock.advance(4999);
      expect(await first.get('key')).toBe('other');
    },
  },
  {
    name: 'a key that was taken or dropped can be claimed again',
    async run({ first, second }) {
      await first.claim('key', 'a', 1000);
      await second.take('key');
      expect(await second.claim('key', 'b', 1000)).toBe(true);
      await second.drop('key', 'b');
      expect(await first.claim('key', 'c', 1000)).toBe(true);
    },
  },
];

const taking: readonly Case<EphemeraBackend>[] = [
  {
    name: 'exactly one of many takers gets the value, and the key is gone',
    async run(backend) {
      await backend.first.put('key', 'value', 1000);
      const answers = await everybody(backend, (ephemera) => ephemera.take('key'));
      expect(count(answers, 'value')).toBe(1);
      expect(count(answers, undefined)).toBe(crowd - 1);
      expect(await backend.second.get('key')).toBeUndefined();
    },
  },
  {
    name: 'what has expired cannot be taken',
    async run({ first, clock }) {
      await first.put('key', 'value', 1000);
      clock.advance(1000);
      expect(await first.take('key')).toBeUndefined();
    },
  },
  {
    name: 'taking one key leaves its neighbours',
    async run({ first }) {
      await first.put('key', 'value', 1000);
      await first.put('key2', 'value', 1000);
      await first.take('key');
      expect(await first.get('key2')).toBe('value');
    },
  },
  {
    name: 'a drop removes only its own value',
    async run({ first, second }) {
      await first.put('key', 'mine', 1000);
      expect(await second.drop('key', 'other')).toBe(false);
      expect(await second.drop('key', '')).toBe(false);
      expect(await first.get('key')).toBe('mine');
      expect(await first.drop('key', 'mine')).toBe(true);
      expect(await second.get('key')).toBeUndefined();
    },
  },
  {
    name: 'exactly one of many drops removes the key',
    async run(backend) {
      await backend.first.put('key', 'mine', 1000);
      const answers = await everybody(backend, (ephemera) => ephemera.drop('key', 'mine'));
      expect(count(answers, true)).toBe(1);
    },
  },
  {
    name: 'a late drop does not remove what the next owner holds, nor what has expired',
    async run({ first, second, clock }) {
      await first.claim('key', 'first', 1000);
      clock.advance(1000);
      expect(await first.drop('key', 'first')).toBe(false);
      await second.claim('key', 'second', 1000);
      expect(await first.drop('key', 'first')).toBe(false);
      expect(await second.get('key')).toBe('second');
    },
  },
];

const counting: readonly Case<EphemeraBackend>[] = [
  {
    name: 'each of many bumps gets its own number, from one, without a gap',
    async run(backend) {
      const answers = await everybody(backend, (ephemera) => ephemera.bump('key', 1000));
      expect([...answers].sort((a, b) => a - b)).toEqual(Array.from({ length: crowd }, (_, index) => index + 1));
    },
  },
  {
    name: 'the window starts with the first bump and does not slide, whatever later bumps ask for',
    async run({ first, second, clock }) {
      expect(await first.bump('key', 1000)).toBe(1);
      clock.advance(900);
      expect(await second.bump('key', 1000)).toBe(2);
      expect(await second.bump('key', 60_000)).toBe(3);
      clock.advance(99);
      expect(await first.bump('key', 1000)).toBe(4);
      clock.advance(1);
      expect(await first.bump('key', 1000)).toBe(1);
    },
  },
  {
    name: 'each of many bumps of an expired counter gets its own number, from one',
    async run(backend) {
      await backend.first.bump('key', 1000);
      await backend.first.bump('key', 1000);
      backend.clock.advance(1000);
      const answers = await everybody(backend, (ephemera) => ephemera.bump('key', 1000));
      expect(Math.min(...answers)).toBe(1);
      expect(new Set(answers).size).toBe(crowd);
      expect(Math.max(...answers)).toBe(crowd);
    },
  },
  {
    name: 'counters of different keys do not meet, and a taken one starts anew',
    async run({ first }) {
      expect(await first.bump('a', 1000)).toBe(1);
      expect(await first.bump('b', 1000)).toBe(1);
      expect(await first.bump('a', 1000)).toBe(2);
      await first.take('a');
      expect(await first.bump('a', 1000)).toBe(1);
    },
  },
  {
    name: 'sweeping removes nothing that lives, and comes to an end',
    async run({ first, second, clock }) {
      for (let index = 0; index < 60; index++) await first.put(`short ${index}`, 'value', 100);
      await first.put('long', 'value', 1000);
      await first.bump('counter', 1000);
      clock.advance(100);
      for (let rounds = 0; (await second.sweep()) > 0; rounds++) expect(rounds).toBeLessThan(100);
      expect(await first.get('long')).toBe('value');
      expect(await first.bump('counter', 1000)).toBe(2);
      expect(await first.get('short 0')).toBeUndefined();
    },
  },
];

export const ephemeraCases: readonly Case<EphemeraBackend>[] = [...values, ...input, ...claiming, ...taking, ...counting];
