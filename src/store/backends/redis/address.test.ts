import { describe, expect, test } from 'vitest';
import { isFault } from '#kernel';
import { parseRedisUrl } from './address.ts';

const addressOf = (url: string) => parseRedisUrl(url).address;

describe('where Redis is', () => {
  test('one server, with the port and the database that are meant when none is named', () => {
    expect(addressOf('redis://cache')).toEqual({ kind: 'server', host: 'cache', port: 6379, database: 0 });
    expect(addressOf('rediss://[::1]:6380/3')).toEqual({ kind: 'server', host: '::1', port: 6380, database: 3 });
  });

  test('a unix socket', () => {
    expect(addressOf('unix:/run/redis.sock')).toEqual({ kind: 'socket', path: '/run/redis.sock', database: 0 });
    expect(addressOf('unix://me:word@/run/redis.sock?db=2')).toEqual({ kind: 'socket', path: '/run/redis.sock', database: 2 });
  });

  test('sentinels and the name of their primary', () => {
    const sentinels = [
      { host: 'a', port: 26_379 },
      { host: 'b', port: 5000 },
    ];
    expect(addressOf('redis+sentinel://a,b:5000/main')).toEqual({ kind: 'sentinel', sentinels, primary: 'main', database: 0 });
    expect(addressOf('rediss+sentinel://u:p@a,b:5000/main/4')).toEqual({ kind: 'sentinel', sentinels, primary: 'main', database: 4 });
  });

  test('nodes of a cluster', () => {
    const nodes = [
      { host: '10.0.0.1', port: 6379 },
      { host: 'b', port: 7001 },
    ];
    expect(addressOf('redis+cluster://10.0.0.1,b:7001')).toEqual({ kind: 'cluster', nodes });
  });

  test('a user and a password are percent-encoded, and only an s after redis means TLS', () => {
    const read = parseRedisUrl('rediss+cluster://me:p%40ss%2Fword:x@a');
    expect([read.username, read.password?.reveal(), read.encrypted]).toEqual(['me', 'p@ss/word:x', true]);
    const plain = parseRedisUrl('redis://:word@a');
    expect([plain.username, plain.password?.reveal(), plain.encrypted]).toEqual([undefined, 'word', false]);
  });

  test.each([
    'http://a',
    'redis:a',
    'redis://',
    'redis://a,b',
    'redis://a:0',
    'redis://a:70000',
    'redis://a/x',
    'redis://a/1/2',
    'redis://a?db=1',
    'redis://a b',
    'redis+sentinel://a',
    'redis+sentinel://a/main/0/1',
    'redis+cluster://a/0',
    'redis+cluster://a,,b',
    'redis://u:%zz@a',
    'unix:relative',
  ])('%s is refused without being repeated', (url) => {
    let caught: unknown;
    try {
      parseRedisUrl(url);
    } catch (error) {
      caught = error;
    }
    expect(isFault(caught, 'invalid_setting')).toBe(true);
    expect(String(caught)).not.toContain(url.length > 8 ? url : 'never');
  });
});
