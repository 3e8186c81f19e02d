import { expect, test } from 'vitest';
import { remoteStanding } from './level.ts';

const own = { machine: 'a', user: 1000 };
const level = (url: string, theirs?: Parameters<typeof remoteStanding>[1], as = own) => remoteStanding(url, theirs, as).level;

test('a server of another machine or user is separated, whatever it is called', () => {
  expect(level('https://gatehouse.example.com', { machine: 'b', user: 1000 })).toBe('separated');
  expect(level('http://127.0.0.1:7300', { machine: 'a', user: 990 })).toBe('separated');
  // Through a tunnel from loopback.
  expect(level('http://localhost:7300', { machine: 'b', user: 1000 })).toBe('separated');
});

test('a server of this machine and user is cooperative, also behind a balancer of another name', () => {
  expect(level('http://localhost:7300', { machine: 'a', user: 1000 })).toBe('cooperative');
  expect(level('https://gatehouse.example.com', { machine: 'a', user: 1000 })).toBe('cooperative');
});

test('what root runs is never separated from a server of this machine', () => {
  expect(level('http://localhost:7300', { machine: 'a', user: 990 }, { machine: 'a', user: 0 })).toBe('cooperative');
});

test('a server that does not say where it runs is elsewhere only if it is not called by loopback', () => {
  expect([level('http://127.0.0.1:7300'), level('https://gatehouse.example.com')]).toEqual(['cooperative', 'separated']);
});
