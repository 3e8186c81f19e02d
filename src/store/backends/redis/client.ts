import type {
  AbstractConnector,
  Cluster,
  ClusterOptions,
  RedisOptions as DriverOptions,
  Redis,
  SentinelConnectionOptions,
  SentinelConnector,
} from 'ioredis';
import type { Secret } from '#kernel';
import type { HostPort, RedisLocation } from './address.ts';
import { loadDriver } from './driver.ts';

export type Client = { readonly kind: 'single'; readonly driver: Redis } | { readonly kind: 'cluster'; readonly driver: Cluster };

export interface RedisEvidence {
  /** Of the nodes that hold data. */
  readonly username?: string | undefined;
  readonly password?: Secret<string> | undefined;
  readonly sentinelUsername?: string | undefined;
  readonly sentinelPassword?: Secret<string> | undefined;
}

/** PEM texts. */
export interface RedisTls {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

export interface ClientOptions {
  readonly location: RedisLocation;
  readonly evidence: RedisEvidence;
  readonly tls: RedisTls;
  /** Milliseconds. */
  readonly connectTimeout: number;
  readonly commandTimeout: number;
  /** Told of every place that a sentinel or the cluster names. */
  readonly meet?: (place: HostPort) => void;
}

/** The driver asks by which other address a place is reached: by none, but so it tells which there are. */
const telling = (meet: ClientOptions['meet']) => (place: string) => {
  const colon = place.lastIndexOf(':');
  meet?.({ host: place.slice(0, colon), port: Number(place.slice(colon + 1)) });
  return null;
};

const retryAfter = (tries: number) => Math.min(50 * 2 ** Math.min(tries, 5), 1_000);

/**
 * A client that reconnects by itself for ever, and never sends a command later than its caller was told: none waits for
 * a connection, none is sent again.
 */
export async function createClient(options: ClientOptions): Promise<Client> {
  const { Redis, Cluster, SentinelConnector } = await loadDriver();
  const { address } = options.location;
  const node = nodeOptions(options);
  const single = {
    ...node,
    enableOfflineQueue: false,
    retryStrategy: retryAfter,
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  } satisfies DriverOptions;
  switch (address.kind) {
    case 'server':
      return { kind: 'single', driver: new Redis({ ...single, host: address.host, port: address.port, db: address.database }) };
    case 'socket':
      return { kind: 'single', driver: new Redis({ ...single, path: address.path, db: address.database }) };
    case 'sentinel':
      return {
        kind: 'single',
        driver: new Redis({ ...single, ...sentinelOptions(options, address), Connector: quiet(SentinelConnector), db: address.database }),
      };
    case 'cluster': {
      const nodes = address.nodes.map(({ host, port }) => ({ host, port }));
      return { kind: 'cluster', driver: new Cluster(nodes, clusterOptions(node, options.meet)) };
    }
  }
}

/** A connection to one sentinel is made by a method that the types of the driver keep to themselves. */
interface Sentinels {
  connectToSentinel(endpoint: unknown, options?: unknown): Pick<Redis, 'on'>;
}

/**
 * The connections on which the driver waits for word of a new primary tell nobody what went wrong with them, and the driver prints
 * that by itself, at every try. They are made again for ever; why no sentinel answers is told by who asks one for the primary.
 */
function quiet(Connector: typeof SentinelConnector): new (options: unknown) => AbstractConnector {
  const Quiet = class extends Connector {};
  const { connectToSentinel } = Connector.prototype as unknown as Sentinels;
  Object.assign(Quiet.prototype, {
    connectToSentinel(this: Sentinels, ...given: Parameters<Sentinels['connectToSentinel']>) {
      return connectToSentinel.apply(this, given).on('error', () => {});
    },
  });
  return Quiet as unknown as new (
    options: unknown,
  ) => AbstractConnector;
}

function nodeOptions({ location, evidence, tls, connectTimeout, commandTimeout }: ClientOptions) {
  return {
    ...(location.encrypted ? { tls: withoutAbsent(tls) } : {}),
    ...withoutAbsent({
      username: evidence.username ?? location.username,
      password: (evidence.password ?? location.password)?.reveal(),
    }),
    connectTimeout,
    commandTimeout,
    protocol: 2,
    disableClientInfo: true,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
  } satisfies DriverOptions;
}

function sentinelOptions(
  { location, evidence, tls, commandTimeout, meet }: ClientOptions,
  { sentinels, primary }: Extract<RedisLocation['address'], { kind: 'sentinel' }>,
) {
  return {
    sentinels: sentinels.map(({ host, port }) => ({ host, port })),
    name: primary,
    natMap: telling(meet),
    role: 'master',
    sentinelRetryStrategy: retryAfter,
    sentinelReconnectStrategy: retryAfter,
    sentinelCommandTimeout: commandTimeout,
    failoverDetector: true,
    ...(location.encrypted ? { enableTLSForSentinelMode: true, sentinelTLS: withoutAbsent(tls) } : {}),
    ...withoutAbsent({ sentinelUsername: evidence.sentinelUsername, sentinelPassword: evidence.sentinelPassword?.reveal() }),
  } satisfies Partial<SentinelConnectionOptions>;
}

function clusterOptions(node: ReturnType<typeof nodeOptions>, meet: ClientOptions['meet']) {
  return {
    // A node is dialled when a command comes for it: dialling ends no later than the command.
    redisOptions: { ...node, connectTimeout: Math.min(node.connectTimeout, node.commandTimeout) },
    enableOfflineQueue: false,
    natMap: telling(meet),
    clusterRetryStrategy: retryAfter,
    slotsRefreshTimeout: node.commandTimeout,
    slotsRefreshInterval: 5_000,
    scaleReads: 'master',
    // Certificates name the nodes as the cluster does, so the name goes to TLS as it is.
    dnsLookup: (name, callback) => callback(null, name),
  } satisfies ClusterOptions;
}

function withoutAbsent<T extends object>(given: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as never;
}
