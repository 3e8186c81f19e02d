import { expect, test } from 'vitest';
import { slotOf } from './slots.ts';

test('a key lies in the slot that Redis Cluster computes', () => {
  // The check value of CRC-16/XMODEM, and the examples of the specification.
  expect(slotOf('123456789')).toBe(0x31c3);
  expect(slotOf('foo')).toBe(12_182);
  expect(slotOf('{user1000}.following')).toBe(slotOf('{user1000}.followers'));
  expect(slotOf('{user1000}.following')).toBe(slotOf('user1000'));
  expect(slotOf('foo{}{bar}')).not.toBe(slotOf('bar'));
  expect(slotOf('foo{{bar}}zap')).toBe(slotOf('{bar'));
});
