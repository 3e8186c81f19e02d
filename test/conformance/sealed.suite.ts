import { expect } from 'vitest';
import type { SealedStore } from '#store';
import type { Case } from './suite.ts';

/** Two instances over the same data. */
export interface SealedBackend {
  readonly first: SealedStore;
  readonly second: SealedStore;
}

const crowd = 30;
const bytes = (...values: number[]) => new Uint8Array(values);
const contents = (envelope: Uint8Array | undefined) => (envelope === undefined ? undefined : [...envelope]);

function everybody<T>({ first, second }: SealedBackend, act: (store: SealedStore, index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: crowd }, (_, index) => act(index % 2 === 0 ? first : second, index)));
}

async function put(store: SealedStore, ...keys: readonly string[]): Promise<void> {
  for (const key of keys) expect(await store.put(key, bytes(1), 0)).toBe(true);
}

const writing: readonly Case<SealedBackend>[] = [
  {
    name: 'what was never put is absent',
    async run({ first }) {
      expect(await first.get('vault:absent')).toBeUndefined();
      expect(await first.remove('vault:absent', 1)).toBe(false);
      expect(await first.remove('vault:absent', 0)).toBe(false);
      expect(await first.put('vault:absent', bytes(1), 1)).toBe(false);
      expect(await first.get('vault:absent')).toBeUndefined();
    },
  },
  {
    name: 'versions count from one, and every instance sees the last',
    async run({ first, second }) {
      expect(await first.put('key', bytes(1), 0)).toBe(true);
      expect((await second.get('key'))?.version).toBe(1);
      expect(await second.put('key', bytes(2), 1)).toBe(true);
      const entry = await first.get('key');
      expect(entry?.version).toBe(2);
      expect(contents(entry?.envelope)).toEqual([2]);
    },
  },
  {
    name: 'a write that expects another version loses and changes nothing',
    async run({ first }) {
      await first.put('key', bytes(1), 0);
      await first.put('key', bytes(2), 1);
      for (const expected of [0, 1, 3, 1000]) expect(await first.put('key', bytes(9), expected)).toBe(false);
      const entry = await first.get('key');
      expect([contents(entry?.envelope), entry?.version]).toEqual([[2], 2]);
    },
  },
  {
    name: 'exactly one of many first writes wins, and its value stays',
    async run(backend) {
      const answers = await everybody(backend, (store, index) => store.put('key', bytes(index), 0));
      expect(answers.filter(Boolean)).toHaveLength(1);
      expect(contents((await backend.first.get('key'))?.envelope)).toEqual([answers.indexOf(true)]);
    },
  },
  {
    name: 'exactly one of many updates from one version wins, and its value stays',
    async run(backend) {
      await backend.first.put('key', bytes(255), 0);
      const answers = await everybody(backend, (store, index) => store.put('key', bytes(index), 1));
      expect(answers.filter(Boolean)).toHaveLength(1);
      const entry = await backend.second.get('key');
      expect([contents(entry?.envelope), entry?.version]).toEqual([[answers.indexOf(true)], 2]);
    },
  },
  {
    name: 'envelopes come back byte for byte: none, all values, a mebibyte',
    async run({ first, second }) {
      const all = Uint8Array.from({ length: 256 }, (_, index) => index);
      const large = new Uint8Array(1_048_576).fill(7);
      for (const [index, envelope] of [bytes(), all, large].entries()) {
        expect(await first.put(`key ${index}`, envelope, 0)).toBe(true);
        expect(Buffer.compare((await second.get(`key ${index}`))?.envelope ?? bytes(1, 2), envelope)).toBe(0);
      }
    },
  },
  {
    name: 'what a caller does to its bytes later changes nothing stored',
    async run({ first }) {
      const envelope = bytes(1, 2, 3);
      await first.put('key', envelope, 0);
      envelope.fill(9);
      const read = await first.get('key');
      expect(contents(read?.envelope)).toEqual([1, 2, 3]);
      read?.envelope.fill(8);
      expect(contents((await first.get('key'))?.envelope)).toEqual([1, 2, 3]);
    },
  },
];

const removing: readonly Case<SealedBackend>[] = [
  {
    name: 'a removal that expects another version loses',
    async run({ first, second }) {
      await first.put('key', bytes(1), 0);
      await first.put('key', bytes(2), 1);
      expect(await second.remove('key', 1)).toBe(false);
      expect(await second.remove('key', 3)).toBe(false);
      expect((await first.get('key'))?.version).toBe(2);
      expect(await second.remove('key', 2)).toBe(true);
      expect(await first.get('key')).toBeUndefined();
    },
  },
  {
    name: 'exactly one of many removals wins',
    async run(backend) {
      await backend.first.put('key', bytes(1), 0);
      const answers = await everybody(backend, (store) => store.remove('key', 1));
      expect(answers.filter(Boolean)).toHaveLength(1);
    },
  },
  {
    name: 'of an update and a removal from one version exactly one wins',
    async run(backend) {
      await backend.first.put('key', bytes(1), 0);
      const [updated, removed] = await Promise.all([backend.first.put('key', bytes(2), 1), backend.second.remove('key', 1)]);
      expect(updated).not.toBe(removed);
      expect((await backend.first.get('key'))?.version).toBe(updated ? 2 : undefined);
    },
  },
  {
    name: 'a removed key can be put again, from nothing only',
    async run({ first }) {
      await first.put('key', bytes(1), 0);
      await first.remove('key', 1);
      expect(await first.put('key', bytes(2), 1)).toBe(false);
      expect(await first.put('key', bytes(2), 0)).toBe(true);
      expect((await first.get('key'))?.version).toBe(1);
    },
  },
];

const listing: readonly Case<SealedBackend>[] = [
  {
    name: 'a listing has the keys of the prefix and no other, in order',
    async run({ first, second }) {
      await put(first, 'vault:b:2', 'vault:a:1', 'vault:b:1', 'vault:b', 'vaulu', 'VAULT:b:3', 'vault;b', 'vault:b:é', 'vault:b:日本');
      expect(await second.list('vault:b:', { limit: 10 })).toEqual(['vault:b:1', 'vault:b:2', 'vault:b:é', 'vault:b:日本']);
      expect(await second.list('nothing', { limit: 10 })).toEqual([]);
      expect(await second.list('', { limit: 100 })).toHaveLength(9);
    },
  },
  {
    name: 'signs that mean something to a search mean nothing in a prefix',
    async run({ first }) {
      await put(first, 'a%b', 'a_b', 'axb', 'a*b', 'a[b', 'a\\b', "a'b");
      for (const sign of ['%', '_', '*', '[', '\\', "'"]) expect(await first.list(`a${sign}`, { limit: 10 })).toEqual([`a${sign}b`]);
    },
  },
  {
    name: 'pages follow one another without a gap or a repetition, also when a page ends in the middle',
    async run({ first, second }) {
      const keys = Array.from({ length: 25 }, (_, index) => `vault:${String(index).padStart(2, '0')}`);
      await put(first, ...[...keys].reverse(), 'other');
      const seen: string[] = [];
      for (;;) {
        const after = seen.at(-1);
        const page = await second.list('vault:', after === undefined ? { limit: 10 } : { after, limit: 10 });
        if (page.length === 0) break;
        expect(page.length).toBeLessThanOrEqual(10);
        seen.push(...page);
      }
      expect(seen).toEqual(keys);
    },
  },
];

const input: readonly Case<SealedBackend>[] = [
  {
    name: 'an empty, over-long or malformed key, a bad version and an empty page are refused',
    async run({ first }) {
      for (const key of ['', 'x'.repeat(513), '€'.repeat(171), '\ud800']) {
        await expect(first.get(key)).rejects.toThrow(RangeError);
        await expect(first.put(key, bytes(1), 0)).rejects.toThrow(RangeError);
        await expect(first.remove(key, 1)).rejects.toThrow(RangeError);
      }
      for (const expected of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
        await expect(first.put('key', bytes(1), expected)).rejects.toThrow(RangeError);
        await expect(first.remove('key', expected)).rejects.toThrow(RangeError);
      }
      for (const limit of [0, -1, 1.5, Number.NaN]) await expect(first.list('', { limit })).rejects.toThrow(RangeError);
      expect(await first.get('key')).toBeUndefined();
    },
  },
  {
    name: 'the longest key is a key, and keys are compared byte by byte',
    async run({ first, second }) {
      const keys = ['x'.repeat(512), '€'.repeat(170), 'a', 'A', 'a ', 'é', 'e\u0301', 'a\u0000b', 'a\u0000c'];
      for (const [index, key] of keys.entries()) expect(await first.put(key, bytes(index), 0)).toBe(true);
      for (const [index, key] of keys.entries()) expect(contents((await second.get(key))?.envelope)).toEqual([index]);
    },
  },
];

export const sealedCases: readonly Case<SealedBackend>[] = [...writing, ...removing, ...listing, ...input];
