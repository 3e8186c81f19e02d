import { defineConfig } from 'vitest/config';

const conditions = ['gatehouse-source', 'node'];

/** Servers that a setting gives usually take a hundred connections, and three test files at once may want more. */
const given = ['POSTGRES', 'MARIADB', 'MYSQL'].some((name) => process.env[`GATEHOUSE_TEST_${name}_URL`] !== undefined);

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    execArgv: ['--conditions=gatehouse-source'],
    testTimeout: 120_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 15_000 } },
    globalSetup: ['test/support/databases.setup.ts'],
    pool: 'forks',
    maxWorkers: given ? 1 : 3,
  },
});
