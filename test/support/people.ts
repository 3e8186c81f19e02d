import { generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto';
import type { Audit, Draft } from '#audit';
import { type Agent, createIdentity, type Identity, type Organization, type User } from '#identity';
import { type FakeClock, type Log, Secret, silentLog } from '#kernel';
import { createAgentProof, encodeDidKey, type VerificationKey, verificationKeyOf } from '#oauth';
import { createSignin, type Signin, type SigninDeps, type Started } from '#signin';
import type { Writing } from '#store';
import type { Keyring, Vault } from '#vault';
import { openTestAudit } from './audit.ts';
import { testNet } from './net.ts';
import { openTestStore, type TestStore, type TestStoreOptions } from './store.ts';
import { openTestVault, testKeyring } from './vault.ts';

export const testIssuer = 'https://gatehouse.example';
export const testPassword = new Secret('plum orbit 94 lantern');

/** The real trail, which also keeps the drafts it was handed, in order (also those of writes that were undone). */
export type KeptAudit = Audit & { readonly drafts: Draft[] };

export async function openKeptAudit(store: TestStore, vault: Vault): Promise<KeptAudit> {
  const audit = await openTestAudit(store, { vault });
  const drafts: Draft[] = [];
  async function record(tx: Writing, ...events: readonly Draft[]): Promise<void> {
    await audit.record(tx, ...events);
    drafts.push(...events);
  }
  return Object.freeze({ ...audit, record, drafts });
}

export interface People {
  readonly store: TestStore<FakeClock>;
  readonly clock: FakeClock;
  /** For a second process on the same file. */
  readonly keyring: Keyring;
  readonly vault: Vault;
  readonly audit: KeptAudit;
  readonly identity: Identity;
  readonly signin: Signin;
  readonly organization: Organization;
  /** Moves the clock, and lets the store learn again what changed. */
  pass(milliseconds: number): Promise<void>;
}

export interface PeopleOptions {
  readonly store?: Omit<TestStoreOptions, 'clock'>;
  readonly signin?: Partial<SigninDeps>;
  /** Ports of servers on loopback that may be reached. */
  readonly ports?: readonly number[];
  readonly log?: Log;
}

/** Identity and sign-in over a real store and vault, with the default organization made. */
export async function openPeople(options: PeopleOptions = {}): Promise<People> {
  const store = await openTestStore({ ...options.store, clock: 'fake' });
  const { records, ephemera, changes, clock } = store;
  const keyring = testKeyring();
  const vault = await openTestVault(store, { keyring });
  const audit = await openKeptAudit(store, vault);
  const deps = { records, ephemera, changes, vault, audit, clock, log: options.log ?? silentLog };
  const identity = createIdentity(deps);
  const net = testNet(options.ports ?? [], clock);
  const signin = createSignin({
    ...{ ...deps, identity, net, publicUrl: testIssuer },
    ...{ passwordLimits: { atOnce: 2, waiting: 200 }, ...options.signin },
  });
  const organization = await identity.ensureDefaultOrganization(testIssuer);
  async function pass(milliseconds: number): Promise<void> {
    clock.advance(milliseconds);
    await store.migrate();
  }
  return { store, clock, keyring, vault, audit, identity, signin, organization, pass };
}

/** The first administrator, made through the set-up link. */
export async function completeTestSetup(people: Pick<People, 'signin'>, email = 'ada@example.com'): Promise<Started> {
  const { token } = await people.signin.setupLink();
  return people.signin.completeSetup(token.reveal(), { email, name: 'Ada', password: testPassword }, '127.0.0.1');
}

export async function createTestUser(people: People, email: string, role: User['role'] = 'member'): Promise<User> {
  const passwordHash = await people.signin.hashPassword(testPassword);
  const { id: organization } = people.organization;
  return people.store.records
    .in(organization)
    .write((tx) => people.identity.createUser(tx, { organization, email, name: email, role, passwordHash }));
}

/** A key pair as an agent keeps it, and the proofs it makes. */
export interface TestKeys {
  readonly privateKey: KeyObject;
  readonly key: VerificationKey;
  readonly did: string;
}

export function testKeys(kind: 'Ed25519' | 'P-256' = 'Ed25519'): TestKeys {
  const { privateKey } = kind === 'Ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = verificationKeyOf(privateKey) as VerificationKey;
  return { privateKey, key, did: encodeDidKey(key.jwk) };
}

export interface TestRequest {
  readonly method: string;
  readonly target: string;
  readonly body: Uint8Array;
}

export const registering: TestRequest = { method: 'POST', target: `${testIssuer}/v1/agents`, body: Buffer.from('{"handle":"x"}') };

/** The proof of these keys over a request, as `prove` and `enrol` take it. */
export function proofOf(people: Pick<People, 'clock' | 'organization'>, keys: TestKeys, request: TestRequest, audience = testIssuer) {
  const { method, target, body } = request;
  const proof = createAgentProof({ ...keys, audience, method, url: target, body, now: people.clock.now() });
  return { organization: people.organization.id, proof, method, target, body };
}

export async function enrolTestAgent(people: People, keys: TestKeys, handle = `agent-${randomUUID()}`): Promise<Agent> {
  const { organization, ...proof } = proofOf(people, keys, registering);
  return people.identity.enrol({ organization, handle, publicJwk: { ...keys.key.jwk }, proof, address: '127.0.0.1' });
}

/** Registered, claimed by this user and confirmed: status `active`. */
export async function activeTestAgent(people: People, keys: TestKeys, user: User, handle?: string): Promise<Agent> {
  const agent = await enrolTestAgent(people, keys, handle);
  const offer = await people.identity.offerClaim(agent, 'laptop', '127.0.0.1');
  await people.identity.typeClaim(user, offer.code.reveal());
  await people.identity.acceptClaim(agent);
  const by = { organization: user.organization, subject: { kind: 'user', id: user.id }, actors: [] } as const;
  return people.store.records.in(user.organization).write((tx) => people.identity.confirmAgent(tx, by, agent.id));
}
