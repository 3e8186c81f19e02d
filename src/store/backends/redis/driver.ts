import { Fault } from '#kernel';

/** The driver, loaded only when a setting asks for Redis. @throws {Fault} `invalid_setting` when it is not installed */
export async function loadDriver(): Promise<Pick<typeof import('ioredis'), 'Redis' | 'Cluster' | 'SentinelConnector'>> {
  try {
    return await import('ioredis');
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND')) throw cause;
    throw new Fault('invalid_setting', {
      detail: 'GATEHOUSE_REDIS_URL asks for Redis, and its driver is not installed',
      hint: 'install it beside gatehouse with: npm i ioredis@6',
      fields: { GATEHOUSE_REDIS_URL: 'install the driver with: npm i ioredis@6' },
      cause,
    });
  }
}
