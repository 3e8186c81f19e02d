import { expect, test } from 'vitest';
import { serversNamed } from '#store';

test('the servers of a store are those that its URLs name, with their usual ports', () => {
  expect(serversNamed({ database: 'postgres://u:p@db.internal/gatehouse', redis: 'redis://cache:6380' })).toEqual([
    { host: 'db.internal', port: 5432 },
    { host: 'cache', port: 6380 },
  ]);
  expect(serversNamed({ database: 'mariadb://u@[::1]/gatehouse', redis: 'redis+sentinel://a,b:26380/primary/0' })).toEqual([
    { host: '::1', port: 3306 },
    { host: 'a', port: 26_379 },
    { host: 'b', port: 26_380 },
  ]);
  expect(serversNamed({ redis: 'redis+cluster://a,b' })).toEqual([
    { host: 'a', port: 6379 },
    { host: 'b', port: 6379 },
  ]);
});

test('files and sockets are no servers', () => {
  expect(serversNamed({ database: 'sqlite:/var/lib/gatehouse', redis: 'unix:/run/redis.sock' })).toEqual([]);
  expect(serversNamed({ database: 'postgres://u@localhost/gatehouse?host=/run/postgresql' })).toEqual([]);
  expect(serversNamed({})).toEqual([]);
});
