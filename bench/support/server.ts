// A process of its own: the parts and the data plane of a server over a real store, with an owner, an agent, a connected key, a permission
// and a run. Prints one line of JSON: where its proxy is and with what. The first parameter is the port of the upstream; the second, if any,
// how many agents, connections and permissions of others to add, or `joins`: another process on the same store has made all that.
import { generateKeyPairSync } from 'node:crypto';
import { readSettings } from '#config';
import type { Agent, Identity } from '#identity';
import { Fault, type Principal, Secret, silentLog, systemClock } from '#kernel';
import { createAgentProof, encodeDidKey, verificationKeyOf } from '#oauth';
import { createProxy } from '#proxy';
import { buildParts, type Parts } from '../../src/bin/parts.ts';
import { populate } from './populate.ts';

const definitionFor = (upstream: number) => ({
  id: 'bench-api',
  name: 'Bench API',
  documentation: 'https://example.com/api',
  hosts: [{ host: 'localhost', port: upstream }],
  auth: [{ kind: 'api_key', fields: [{ name: 'api_key', label: 'API key' }], inject: [{ kind: 'bearer', part: 'api_key' }] }],
  variables: [],
  operations: [{ id: 'read', title: 'Read', classes: ['read'], match: [{ methods: ['GET'], path: '/**' }] }],
});

const [port, others] = [Number(process.argv[2]), process.argv[3]];
const { settings } = readSettings({ env: process.env, aliases: false });
const parts = await buildParts({ settings, env: process.env, dev: false, clock: systemClock, log: silentLog });
const { broker, net, clock, log, identity, signin, publicUrl } = parts;
const proxy = createProxy({ broker, net, clock, log, limits: { streamIdle: settings.idleSeconds * 1000 } });
const { port: proxyPort } = await proxy.listen({ host: '127.0.0.1', port: 0 });
if (others === 'joins') tell({});
else {
  if (others !== undefined) populate(`${settings.home}/gatehouse.db`, parts.organization.id, Number(others));
  tell(await startRun());
}

function tell(more: object): void {
  process.stdout.write(`${JSON.stringify({ proxyPort, ...more })}\n`);
}

async function startRun(): Promise<{ readonly credential: string; readonly ca: string }> {
  const owner = await signUp();
  const agent = await enrol(identity, owner).catch(async (error: unknown) => {
    if (!(error instanceof Fault && error.code === 'proof_unremembered')) throw error;
    // What a Redis just started could have forgotten is older than that.
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    return await enrol(identity, owner);
  });
  await connectAndPermit(parts, owner, agent);
  const run = await broker.startRun(agent, { level: 'cooperative', program: 'bench', connections: {}, passed: [] });
  // As its forwarder would: what stands open is carried on. A tunnel opened later than five minutes from now needs a server of its own.
  setInterval(() => void broker.renewRun(agent, run.run), 60_000).unref();
  return { credential: `run:${run.credential.reveal()}`, ca: run.authorityPem };
}

async function signUp(): Promise<Principal> {
  const { token } = await signin.setupLink();
  const person = { email: 'owner@example.test', name: 'Olive', password: new Secret('plum orbit 94 lantern') };
  return (await signin.completeSetup(token.reveal(), person, '127.0.0.1')).session.principal;
}

/** Registered with a key of its own, claimed and confirmed by the owner. */
async function enrol(identity: Identity, owner: Principal): Promise<Agent> {
  const { privateKey } = generateKeyPairSync('ed25519');
  const key = verificationKeyOf(privateKey);
  if (key === undefined) throw new Error('the key is not one an agent may have');
  const request = { method: 'POST', target: `${publicUrl}/v1/agents`, body: Buffer.from('{}') };
  const { method, target, body } = request;
  const proof = createAgentProof({
    privateKey,
    did: encodeDidKey(key.jwk),
    audience: publicUrl,
    method,
    url: target,
    body,
    now: clock.now(),
  });
  const { id: organization } = parts.organization;
  const registered = await identity.enrol({
    organization,
    handle: 'bencher',
    publicJwk: { ...key.jwk },
    proof: { proof, ...request },
    address: '127.0.0.1',
  });
  const offer = await identity.offerClaim(registered, 'bench', '127.0.0.1');
  const person = await identity.owner(organization);
  if (person === undefined) throw new Error('nobody owns this installation');
  await identity.typeClaim(person, offer.code.reveal());
  await identity.acceptClaim(registered);
  return parts.store.records.in(organization).write((tx) => identity.confirmAgent(tx, owner, registered.id));
}

async function connectAndPermit({ store, connect, policy }: Parts, by: Principal, agent: Agent): Promise<void> {
  const scope = store.records.in(by.organization);
  const definition = definitionFor(port);
  await scope.write((tx) => connect.registerProvider(tx, by, definition));
  const flow = await connect.begin(by, { provider: definition.id, name: 'default', flow: 'api_key', force: false, allow: [] });
  const { connection } = await connect.completeWithKey(by, flow.id, { api_key: new Secret('bench-key-7d0f31c26a5be948c1') }, 'browser');
  await scope.write(async (tx) => {
    await connect.confirm(tx, by, { connection: connection.id, flow: flow.id });
    await policy.give(tx, by, {
      effect: 'allow',
      agent: agent.id,
      owner: undefined,
      target: { kind: 'connection', id: connection.id },
      reach: { classes: ['read'], operations: [], patterns: [], everything: false },
      level: undefined,
      passCredential: false,
      expiresAt: undefined,
    });
  });
}
