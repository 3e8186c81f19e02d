import { isIP } from 'node:net';
import { settingFault } from '#kernel';
import { type DatabaseAddress, parseDatabaseUrl } from './database-url.ts';

/** What the operator says of a database server. */
export interface DatabaseOptions {
  readonly url: string;
  /** Holds everything, on PostgreSQL. */
  readonly schema: string;
  /** PEM texts: the authority that is believed instead of those of the system; a certificate of ours with its key. */
  readonly tls?: { readonly ca?: string | undefined; readonly cert?: string | undefined; readonly key?: string | undefined };
  /** How many connections this process opens at most. */
  readonly connections?: number | undefined;
  /** How long one that is not used stays open, milliseconds. */
  readonly idle?: number | undefined;
  /** A pooler stands in between that lends a connection for one transaction. */
  readonly pooler?: 'transaction' | undefined;
}

/** TLS as it is asked for. What it does not check, nobody checks. */
export interface DatabaseTls {
  readonly authority: boolean;
  readonly name: boolean;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** A database server, and how it is spoken to. */
export interface DatabaseServer {
  readonly address: DatabaseAddress;
  readonly schema: string;
  /** Undefined: in the clear. */
  readonly tls: DatabaseTls | undefined;
  readonly connections: number;
  readonly idle: number;
  readonly pooler: 'transaction' | undefined;
}

const usual = { connections: 10, idle: 300_000 };

/**
 * What is meant by the settings. Undefined: files, not a server.
 * @throws {Fault} `invalid_setting`
 */
export function databaseServer(options: DatabaseOptions): DatabaseServer | undefined {
  const address = parseDatabaseUrl(options.url);
  if (address === undefined) return undefined;
  if (options.pooler !== undefined && address.kind !== 'postgres')
    throw settingFault({ GATEHOUSE_DATABASE_POOLER: 'a pooler by transaction is for PostgreSQL; leave the setting out' });
  return {
    address,
    schema: options.schema,
    tls: tlsTo(address, options.tls ?? {}),
    connections: options.connections ?? usual.connections,
    idle: options.idle ?? usual.idle,
    pooler: options.pooler,
  };
}

/** Without a word about it: verified in full to another machine, in the clear within this one unless an authority is given. */
function tlsTo(address: DatabaseAddress, { ca, cert, key }: NonNullable<DatabaseOptions['tls']>): DatabaseTls | undefined {
  if ((cert === undefined) !== (key === undefined))
    throw settingFault({ [cert === undefined ? 'GATEHOUSE_DATABASE_CERT' : 'GATEHOUSE_DATABASE_KEY']: 'certificate and key go together' });
  const mode = address.tls ?? (ca !== undefined || isElsewhere(address) ? 'verify-full' : 'disable');
  if (mode === 'disable' || address.socket !== undefined) return undefined;
  // As libpq does: an authority that is given is asked.
  const authority = mode !== 'require' || ca !== undefined;
  const name = mode === 'verify-full';
  if (name && address.kind === 'mysql' && isIP(address.host) !== 0)
    throw settingFault({ GATEHOUSE_DATABASE_URL: 'name the host, for its certificate is checked by name; or write sslmode=verify-ca' });
  return { authority, name, ca, cert, key };
}

/** What the operator should know of the way to the database. */
export function warningsOf({ address, tls }: DatabaseServer): readonly string[] {
  if (!isElsewhere(address)) return [];
  if (tls === undefined) return ['what goes to the database is not encrypted (sslmode=disable); leave sslmode out, or write verify-full'];
  if (!tls.authority)
    return ['the certificate of the database is not checked (sslmode=require); give its authority with GATEHOUSE_DATABASE_CA'];
  return [];
}

const here = /^(localhost|127(\.\d{1,3}){3}|::1)$/i;

function isElsewhere({ host, socket }: DatabaseAddress): boolean {
  return socket === undefined && !here.test(host);
}
