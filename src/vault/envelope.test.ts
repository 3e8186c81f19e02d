import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isFault, newId } from '#kernel';
import type { Label } from './contract.ts';
import { lengthPrefixed, openEnvelope, parseEnvelope, sealEnvelope } from './envelope.ts';
import { makeDataKey } from './wrapping.ts';

const key = makeDataKey();
const dataKey = newId('dky');
const label: Label = { owner: { kind: 'platform' }, key: 'test/key', version: 7 };

function outcome(bytes: Uint8Array): 'opened' | 'refused' {
  try {
    openEnvelope(key, parseEnvelope(bytes), label);
    return 'opened';
  } catch (error) {
    if (isFault(error, 'sealed_value_unreadable')) return 'refused';
    throw error;
  }
}

describe('an envelope', () => {
  it('carries format, data key and version, and is never the same twice', () => {
    const [one, other] = [sealEnvelope(key, dataKey, label, Buffer.from('x')), sealEnvelope(key, dataKey, label, Buffer.from('x'))];
    expect(one).not.toEqual(other);
    expect(one[0]).toBe(1);
    expect(parseEnvelope(one)).toMatchObject({ dataKey, version: 7 });
    expect(openEnvelope(key, parseEnvelope(one), label).toString()).toBe('x');
  });

  it('of any bytes opens to the same bytes, also out of the middle of a buffer', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(20), (plain, offset) => {
        const sealed = sealEnvelope(key, dataKey, label, plain);
        const around = Buffer.concat([Buffer.alloc(offset), sealed, Buffer.alloc(3)]);
        const within = new Uint8Array(around.buffer, around.byteOffset + offset, sealed.length);
        expect(Uint8Array.from(openEnvelope(key, parseEnvelope(within), label))).toEqual(plain);
      }),
    );
  });

  it('of random bytes is refused, and nothing else happens', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(outcome(bytes)).toBe('refused');
      }),
      { numRuns: 2000 },
    );
  });

  it('that was damaged anywhere, or put together of two, is refused', () => {
    const [one, other] = [sealEnvelope(key, dataKey, label, Buffer.alloc(40, 1)), sealEnvelope(key, dataKey, label, Buffer.alloc(40, 2))];
    fc.assert(
      fc.property(fc.nat(one.length - 1), fc.integer({ min: 1, max: 255 }), fc.nat(one.length), (at, change, cut) => {
        const damaged = Uint8Array.from(one);
        damaged[at] = (damaged[at] ?? 0) ^ change;
        expect(outcome(damaged)).toBe('refused');
        const joined = Buffer.concat([one.subarray(0, cut), other.subarray(cut)]);
        if (!joined.equals(one) && !joined.equals(other)) expect(outcome(joined)).toBe('refused');
      }),
      { numRuns: 1000 },
    );
  });

  it('with a version beyond what a number holds is refused', () => {
    const bytes = sealEnvelope(key, dataKey, label, Buffer.from('x'));
    bytes.writeBigUInt64BE(2n ** 53n, 31);
    expect(outcome(bytes)).toBe('refused');
  });
});

describe('associated data', () => {
  it('reads the same only for the same parts', () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { maxLength: 4 }), fc.array(fc.string(), { maxLength: 4 }), (a, b) => {
        const same = a.length === b.length && a.every((part, i) => Buffer.from(part).equals(Buffer.from(b[i] ?? '')));
        expect(lengthPrefixed(a).equals(lengthPrefixed(b))).toBe(same);
      }),
      { numRuns: 1000 },
    );
    expect(lengthPrefixed(['ab', 'c'])).not.toEqual(lengthPrefixed(['a', 'bc']));
  });
});
