import { beforeAll, describe, expect, it } from 'vitest';
import { type CallerKind, type Route, type RouteName, routes, schemas } from '#api';
import {
  type ActiveAgent,
  agentOf,
  openServing,
  proving,
  type Received,
  type Serving,
  type SignedIn,
  signedIn,
} from '../../test/support/serving.ts';

const every = Object.entries(routes) as [RouteName, Route][];
/** A path of the route; nothing that it could find. */
const pathOf = (row: Route) => row.path.replace(/:[a-z_]+/g, 'nothing');

let serving: Serving;
let person: SignedIn;
let worker: ActiveAgent;
let commandLine: string;
let runCredential: string;

beforeAll(async () => {
  serving = await openServing();
  person = await signedIn(serving);
  worker = await agentOf(serving, person.user);
  const { organization, signin } = serving.people;
  const offer = await signin.offerCommandLine(organization.id, 'desktop', '127.0.0.1');
  await signin.approveCommandLine(person.session, offer.userCode);
  commandLine = (await signin.collectCommandLine(offer.deviceCode.reveal()))?.bearer.reveal() ?? '';
  const run = await serving.broker.startRun(worker.agent, { level: 'cooperative', program: 'x', connections: {}, passed: [] });
  runCredential = run.credential.reveal();
});

interface Given {
  readonly headers?: Readonly<Record<string, string>>;
  readonly local?: boolean;
}

function call(row: Route, given: Given): Promise<Received> {
  const body = row.body === undefined ? {} : { body: '{}', headers: { 'content-type': 'application/json', ...given.headers } };
  return serving.send({ method: row.method, path: pathOf(row), ...given, ...body });
}

/** Refused for who it is from, before anything else is looked at. */
function refused(answer: Received): boolean {
  const { code } = schemas.problem.parse(answer.json());
  return ['unauthenticated', 'forbidden', 'invalid_proof', 'origin_refused', 'registration_closed'].includes(code);
}

const takes = (row: Route, kind: CallerKind) => row.callers.includes(kind) || row.callers.includes('anyone');

describe('who may call what', () => {
  it.each(every)('%s takes nobody without evidence, unless it is for anyone', async (_, row) => {
    const answer = await call(row, {});
    expect(refused(answer)).toBe(!row.callers.includes('anyone'));
  });

  it.each(every)('%s takes a browser only if the table says so', async (name, row) => {
    if (name === 'session_end') return;
    const answer = await call(row, { headers: { cookie: person.cookie, origin: 'https://gatehouse.example' } });
    if (name === 'agent_register') expect(answer.json().code).toBe('invalid_request');
    else if (answer.status >= 400) expect(refused(answer)).toBe(!takes(row, 'browser'));
    else expect(takes(row, 'browser')).toBe(true);
  });

  it.each(every)('%s takes an agent only if the table says so', async (name, row) => {
    if (name === 'agent_register') return;
    const body = row.body === undefined ? '' : '{}';
    const authorization = proving(serving, worker.keys, row.method, pathOf(row), body);
    const answer = await call(row, { headers: { authorization } });
    if (answer.status >= 400) expect(refused(answer)).toBe(!takes(row, 'agent'));
    else expect(takes(row, 'agent')).toBe(true);
  });

  it.each(every)('%s takes a command line only if the table says so', async (name, row) => {
    if (name === 'agent_register' || name === 'setup_link') return;
    const answer = await call(row, { headers: { authorization: `Bearer ${commandLine}` } });
    if (answer.status >= 400) expect(refused(answer)).toBe(!takes(row, 'command_line'));
    else expect(takes(row, 'command_line')).toBe(true);
  });

  it.each(every)('%s does not know a run’s proxy credential, however it is sent', async (name, row) => {
    const user = Buffer.from(`run:${runCredential}`).toString('base64');
    const ways: Given[] = [
      { headers: { authorization: `Bearer ${runCredential}` } },
      { headers: { authorization: `Basic ${user}` } },
      { headers: { authorization: `PoP ${runCredential}` } },
      { headers: { cookie: `__Host-gatehouse_session=${runCredential}`, origin: 'https://gatehouse.example' } },
      { headers: { 'proxy-authorization': `Basic ${user}` } },
      { headers: { 'proxy-authorization': `Bearer ${runCredential}`, authorization: `Bearer ${commandLine}` } },
      { headers: { 'proxy-authorization': `Basic ${user}` }, local: true },
    ];
    for (const way of ways) {
      const answer = await call(row, way);
      const asAnyone = row.callers.includes('anyone') && way.headers?.['proxy-authorization'] === undefined && name !== 'agent_register';
      if (!asAnyone) expect([401, 403, 400]).toContain(answer.status);
      if (!asAnyone && name !== 'agent_register') expect(refused(answer)).toBe(true);
    }
  });

  it('takes whoever owns the socket for the owner’s command line', async () => {
    const answer = await serving.send({ path: '/v1/whoami', local: true });
    expect(answer.json()).toMatchObject({ kind: 'command_line', user: { email: 'ada@example.com', role: 'owner' } });
  });

  it('takes a proof for the request it was made for, and once', async () => {
    const authorization = proving(serving, worker.keys, 'GET', '/v1/whoami');
    expect((await serving.send({ path: '/v1/whoami?x=1', headers: { authorization } })).json().code).toBe('invalid_proof');
    const first = await serving.send({ path: '/v1/whoami', headers: { authorization } });
    expect(first.json()).toMatchObject({ kind: 'agent', agent: { handle: 'researcher', status: 'active' } });
    expect((await serving.send({ path: '/v1/whoami', headers: { authorization } })).json().code).toBe('proof_replayed');
  });

  it('takes a proof by the public URL or by the name it was called by, and by no other', async () => {
    const path = '/v1/whoami';
    const host = `127.0.0.1:${serving.port}`;
    const status = async (origin: string) =>
      (await serving.send({ path, headers: { host, authorization: proving(serving, worker.keys, 'GET', path, '', origin) } })).status;
    expect(await status('https://gatehouse.example')).toBe(200);
    expect(await status(`http://${host}`)).toBe(200);
    expect(await status('https://other.example')).toBe(401);
    expect(await status(`http://localhost:${serving.port}`)).toBe(401);
  });

  it('lets an agent see itself and no other', async () => {
    const other = await agentOf(serving, person.user, 'other');
    for (const [reference, status] of [
      [worker.agent.id, 200],
      ['researcher', 200],
      [other.agent.id, 404],
      ['other', 404],
    ] as const) {
      const path = `/v1/agents/${reference}`;
      expect((await serving.send({ path, headers: { authorization: proving(serving, worker.keys, 'GET', path) } })).status).toBe(status);
    }
  });
});
