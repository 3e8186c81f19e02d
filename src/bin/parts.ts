import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Lives, parseLives } from '#api';
import { type Audit, auditSealedColumns, createAudit } from '#audit';
import { type Broker, brokerSealedColumns, createBroker } from '#broker';
import { type Environment, type Folders, foldersOf, productionProblems, productionRules, type Settings } from '#config';
import { type Connect, connectSealedColumns, createConnect, loadCatalogue } from '#connect';
import { createIdentity, type Identity, type Organization } from '#identity';
import { createIssuer, type Issuer, issuerSealedColumns, type RegistrationPolicy } from '#issuer';
import { createJobs, type Jobs, mostJobs } from '#jobs';
import { type Clock, type Log, settingFault } from '#kernel';
import { createNet, type Net } from '#net';
import { createPolicy, type Policy } from '#policy';
import { createSignin, type PasswordLimits, type Signin, signinSealedColumns, usualPasswordLimits } from '#signin';
import { openStore, refuseStanding, type Store, type StoreServer, serversNamed } from '#store';
import { createVault, type Keyring, loadKeyring, type Vault } from '#vault';
import { jobKinds } from './job-kinds.ts';
import { bringUpToDate } from './migrate.ts';
import { databaseOf, homeOf, masterKey, privateFolder, shareOf, storePlaces } from './places.ts';
import { platformClients } from './platform-clients.ts';
import { whenItComes } from './waiting.ts';

/** Everything that makes decisions, without a listener: what a server and the library share. */
export interface Parts {
  readonly settings: Settings;
  readonly folders: Folders;
  readonly production: boolean;
  readonly publicUrl: string;
  readonly processes: number;
  readonly organization: Organization;
  readonly store: Store;
  readonly keyring: Keyring;
  readonly vault: Vault;
  readonly audit: Audit;
  readonly identity: Identity;
  readonly policy: Policy;
  readonly net: Net;
  readonly connect: Connect;
  readonly signin: Signin;
  readonly issuer: Issuer;
  readonly broker: Broker;
  /** Runs nothing until it is started. */
  readonly jobs: Jobs;
  readonly clock: Clock;
  readonly log: Log;
  close(): Promise<void>;
}

export interface PartsOptions {
  readonly settings: Settings;
  readonly env: Environment;
  /** `--dev`: keeps what lives briefly in memory, on loopback only. */
  readonly dev: boolean;
  /** Also where the installation is paused, which is then not served. */
  readonly paused?: boolean;
  /** Processes of one service, which share its bounds; one unless told otherwise. */
  readonly processes?: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** What the rooms stand on. */
type Ground = Pick<Parts, 'settings' | 'folders' | 'production' | 'publicUrl' | 'processes' | 'store' | 'clock' | 'log'>;

/**
 * Opens the installation and builds its rooms; what was opened is closed again if they cannot be built.
 * @throws {Fault} `paused`, `store_incomplete`
 */
export async function buildParts({ settings, env, dev, paused = false, processes = 1, clock, log }: PartsOptions): Promise<Parts> {
  const production = productionRules(settings, dev);
  if (production) refuseInProduction(settings);
  const folders = foldersOf(homeOf(settings), env);
  for (const folder of [folders.home, folders.config, folders.state]) privateFolder(folder);
  const publicUrl = settings.publicUrl ?? `http://localhost:${settings.port}`;
  const where = { home: folders.home, ...storePlaces(settings, dev), ...databaseOf(settings), processes };
  const store = await whenItComes('the database', settings.waitSeconds * 1000, log, () => openStore({ ...where, clock, log }));
  try {
    const standing = await store.standing();
    if (!paused || standing?.state === 'incomplete') refuseStanding(standing);
    return await buildRooms({ settings, folders, production, publicUrl, processes, store, clock, log });
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** They come with the connection, or from a proxy that is believed. */
function certificatesCome({ clientCertificates, certificateHeader, trustedProxies }: Settings): boolean {
  return clientCertificates || (certificateHeader !== undefined && trustedProxies.length > 0);
}

/** The rooms in the order of the import table, and what ends them in the reverse. */
async function buildRooms(ground: Ground): Promise<Parts> {
  const { settings, publicUrl, store, clock, log } = ground;
  const { records, ephemera, sealed, changes } = store;
  const keyring = await migrateUnderKey(ground);
  const sealedColumns = () =>
    [auditSealedColumns, signinSealedColumns, connectSealedColumns, issuerSealedColumns, brokerSealedColumns].flatMap((columns) =>
      columns({ records }),
    );
  const vault = await createVault({ records, sealed, changes, keyring, clock, log, sealedColumns });
  const audit = createAudit({ records, vault, clock, log, mode: settings.audit, ...writerOf(settings) });
  const identity = createIdentity({ records, ephemera, changes, vault, audit, clock, log });
  const policy = createPolicy({ records, changes, audit, clock, log });
  const net = createNet({ ...outbound(settings), clock, log });
  await closeServers(net, store, settings, log);
  const organization = await identity.ensureDefaultOrganization(publicUrl);
  const shared = { records, ephemera, changes, identity, vault, audit, clock, log };
  const connect = createConnect({ ...shared, net, publicUrl, catalogue: loadCatalogue() });
  const keySigns = settings.signingKeyDays * 86_400_000;
  const sessionLives = { idle: settings.sessionIdleMinutes * 60_000, whole: settings.sessionHours * 3_600_000 };
  const signin = createSignin({
    ...shared,
    ownerEmail: settings.ownerEmail,
    passwordLimits: passwordLimits(ground.processes),
    sessionLives,
    net,
    publicUrl,
    platformClients: platformClients(settings),
  });
  const jobs = createJobs({ records, clock, log, kinds: () => jobKinds(parts), atOnce: shareOf(mostJobs, ground.processes) });
  const issuer = createIssuer({
    ...shared,
    signin,
    jobs,
    net,
    lives: livesSet(settings),
    dpopNonce: settings.dpopNonce,
    registration: registrationPolicy(ground),
    keySigns,
    clientCertificates: certificatesCome(settings),
  });
  const ownHosts = ownHostsOf(settings, publicUrl);
  const broker = createBroker({ ...shared, policy, connect, publicUrl, ownHosts, otherHosts: settings.otherHosts });
  const close = async () => {
    for (const part of [broker, issuer, signin, connect, policy, identity, audit, net, vault, store]) await part.close();
  };
  const built = { organization, keyring, vault, audit, identity, policy, net, connect, signin, issuer, broker, jobs };
  const parts: Parts = Object.freeze({ ...ground, ...built, close });
  return parts;
}

/** Under production rules a client registers itself with a token, or not at all (SECURITY 26). */
function registrationPolicy({ settings, production }: Ground): RegistrationPolicy {
  return settings.clientRegistration ?? (production ? 'token' : 'open');
}

/** @throws {Fault} `invalid_setting` */
function livesSet({ lives }: Settings): Lives {
  const given = parseLives(lives);
  if (typeof given === 'string') throw settingFault({ GATEHOUSE_LIVES: given });
  return given;
}

function passwordLimits(processes: number): PasswordLimits {
  const { atOnce, waiting } = usualPasswordLimits;
  return { atOnce: shareOf(atOnce, processes), waiting: shareOf(waiting, processes) };
}

/** What we stand on is reached by no agent, whatever the operator opened (SECURITY 11): what settings name, and what that names later. */
async function closeServers(net: Net, store: Store, { databaseUrl: database, redisUrl: redis }: Settings, log: Log): Promise<void> {
  const close = ({ host, port }: StoreServer) =>
    net.ownServer(host, port).catch((cause: unknown) => log.warn('a server of the store has no address right now', { port, cause }));
  for (const server of serversNamed({ database, redis })) await close(server);
  const met: Promise<void>[] = [];
  store.watchServers((server) => void met.push(close(server)));
  await Promise.all(met);
}

/** The schema brought up to date, and the master key: one is made only where nothing was ever stored. */
async function migrateUnderKey({ settings, folders, production, store, clock, log }: Ground): Promise<Keyring> {
  const storeIsEmpty = await store.isEmpty();
  await bringUpToDate({ settings, clock, log }, store);
  return await loadKeyring({
    ...masterKey(settings),
    production,
    storeIsEmpty,
    defaultFile: folders.masterKey,
    dataFolder: folders.home,
    clock,
  });
}

/** Processes of a database server write at the same time, so each has an audit chain of its own, from its start to its end. */
function writerOf(settings: Settings) {
  return 'database' in databaseOf(settings) ? { writer: `process-${randomBytes(8).toString('hex')}` } : {};
}

function refuseInProduction(settings: Settings): void {
  const problems = productionProblems(settings);
  if (Object.keys(problems).length > 0) throw settingFault(problems);
}

function outbound(settings: Settings) {
  const extraAuthorities: Record<string, string[]> = {};
  for (const { host, file } of settings.upstreamCa)
    extraAuthorities[host] = [...(extraAuthorities[host] ?? []), readFileSync(file, 'utf8')];
  return {
    allowPrivate: settings.allowPrivate,
    addresses: settings.resolve,
    extraAuthorities,
    skipVerifyHosts: settings.upstreamSkipVerify,
    distrusted: settings.upstreamDistrust,
  };
}

/** Names and ports that the proxy never reaches: our own. */
function ownHostsOf(settings: Settings, publicUrl: string): readonly string[] {
  const { hostname } = new URL(publicUrl);
  return [...new Set([hostname, ...settings.hosts])];
}
