import { defineConfig } from 'vitest/config';

const conditions = ['gatehouse-source', 'node'];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    execArgv: ['--conditions=gatehouse-source'],
    testTimeout: 120_000,
    hookTimeout: 300_000,
    globalSetup: ['test/support/databases.setup.ts'],
    pool: 'forks',
    maxWorkers: 3,
  },
});
