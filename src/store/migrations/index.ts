import type { Kysely } from 'kysely';
import type { ColumnWords } from '../backend.ts';
import { first, tables } from './0001-first.ts';
import { issuer, issuerTables } from './0002-issuer.ts';
import { registrations, registrationTables } from './0003-registrations.ts';
import { senders } from './0004-senders.ts';
import { requests, requestTables } from './0005-requests.ts';
import { grantSources, grantSourceTables } from './0006-grants.ts';
import { resources, resourceTables } from './0007-resources.ts';
import { sessions, sessionTables } from './0008-sessions.ts';
import { signInTables, upstreams } from './0009-upstreams.ts';

/** One step of the schema. Forward only; never edited after the release that carried it. */
export interface Migration {
  readonly name: string;
  // biome-ignore lint/suspicious/noExplicitAny: a migration is older or newer than the schema type, so it has none
  run(db: Kysely<any>, words: ColumnWords): Promise<void>;
}

/** Every migration, oldest first. */
export const migrations: readonly Migration[] = [
  first,
  issuer,
  registrations,
  senders,
  requests,
  grantSources,
  resources,
  sessions,
  upstreams,
];

/** Every table of ours, by name; what else lies in a schema is another program's. */
export const ownTables: ReadonlySet<string> = new Set([
  ...Object.keys(tables),
  ...Object.keys(issuerTables),
  ...Object.keys(requestTables),
  ...Object.keys(grantSourceTables),
  ...Object.keys(resourceTables),
  ...Object.keys(registrationTables),
  ...Object.keys(sessionTables),
  ...Object.keys(signInTables),
  'ephemera',
]);
