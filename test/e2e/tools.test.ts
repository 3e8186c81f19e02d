import { existsSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testAuthority } from '../support/certificates.ts';
import { type GitServer, gitServer } from '../support/git-server.ts';
import { hasProgram, hasPython, python, testWith } from '../support/need.ts';
import { arrived, calls, proves } from '../support/proving.ts';
import { connectApi, makeWorld, type World } from '../support/world.ts';

const gitUser = { username: 'committer', password: 'canary-9e2f6a1d5c8b4037-of-git' };

let world: World;
let git: GitServer;
beforeAll(async () => {
  const variables = ['EXAMPLE_API_KEY', 'GH_ENTERPRISE_TOKEN'].map((name) => ({ name, part: 'api_key' }));
  world = await makeWorld({
    definition: { variables },
    extra: {
      git: (request, response, body) => git.route(request, response, body),
      npm: (_, response) => response.end(JSON.stringify(npmPackage)),
      cargo: (request, response) => response.end(JSON.stringify(request.url?.endsWith('config.json') ? cargoRegistry() : cargoAnswer)),
      aws: (_, response) => response.writeHead(200, { 'content-type': 'application/xml' }).end(awsBuckets),
      storage: (_, response) => json(response, 200, googleBuckets),
      kube: answersKubectl,
      api: answersGh,
    },
  });
  git = gitServer(world.folder, gitUser);
  const host = { host: world.host, port: world.upstream.port, path: '/git' };
  const fields = [
    { name: 'username', label: 'User', secret: false },
    { name: 'password', label: 'Password' },
  ];
  const auth = [{ kind: 'api_key', fields, inject: [{ kind: 'basic' }] }];
  const definition = {
    id: 'example-git',
    name: 'Example Git',
    documentation: 'https://example.com/git',
    hosts: [host],
    auth,
    variables: [],
  };
  await connectApi(world.site, world.folder, definition, { fields: gitUser });
}, 120_000);
afterAll(() => world?.close());

const npmPackage = { name: 'example', 'dist-tags': { latest: '3.2.1' }, versions: { '3.2.1': { name: 'example', version: '3.2.1' } } };
const cargoRegistry = () => ({ dl: `${world.api}/cargo/dl`, api: `${world.api}/cargo` });
const cargoAnswer = { crates: [{ name: 'example', max_version: '3.2.1', description: 'found' }], meta: { total: 1 } };
const awsBuckets = `<ListAllMyBucketsResult><Buckets><Bucket><Name>found</Name></Bucket></Buckets></ListAllMyBucketsResult>`;
const googleBuckets = { kind: 'storage#buckets', items: [{ kind: 'storage#bucket', id: 'found', name: 'found' }] };

/** What kubectl asks of a cluster before and when it lists namespaces. */
const cluster: Readonly<Record<string, unknown>> = {
  '/kube/version': { major: '1', minor: '32', gitVersion: 'v1.32.0' },
  '/kube/api': { kind: 'APIVersions', versions: ['v1'] },
  '/kube/apis': { kind: 'APIGroupList', apiVersion: 'v1', groups: [] },
  '/kube/api/v1': {
    kind: 'APIResourceList',
    groupVersion: 'v1',
    resources: [{ name: 'namespaces', singularName: 'namespace', namespaced: false, kind: 'Namespace', verbs: ['get', 'list'] }],
  },
  '/kube/api/v1/namespaces': {
    kind: 'NamespaceList',
    apiVersion: 'v1',
    metadata: {},
    items: [{ kind: 'Namespace', apiVersion: 'v1', metadata: { name: 'found' } }],
  },
};

const json = (response: ServerResponse, status: number, value: unknown) =>
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));

function answersKubectl(request: IncomingMessage, response: ServerResponse): void {
  const answer = cluster[new URL(request.url ?? '/', world.api).pathname];
  json(response, answer === undefined ? 404 : 200, answer ?? {});
}

/** An enterprise host's API, which knows the real token only. */
function answersGh(request: IncomingMessage, response: ServerResponse): void {
  const known = request.headers.authorization === `Bearer ${world.canary}`;
  json(response, known ? 200 : 401, known ? { login: 'committer' } : { message: 'Bad credentials' });
}

/** Said loudly, without a skip: these are tools that Debian does not bring, or not new enough. */
function where(present: boolean, what: string, name: string, prove: () => Promise<void>): void {
  if (present) test(name, prove);
  else process.stderr.write(`not run, because this machine has no ${what}: ${name}\n`);
}

testWith('curl')('curl calls authenticated', async () => {
  await calls(world, 'curl', (url) => ['curl', '-sS', url]);
});

testWith('curl')('curl posts a large body unchanged', async () => {
  writeFileSync(join(world.site.folder, 'upload'), Buffer.alloc(3_000_000, 7));
  const { stdout } = await world.run(['curl', '-sS', '--data-binary', '@upload', `${world.api}/digest`]);
  expect(JSON.parse(stdout)).toMatchObject({ bytes: 3_000_000 });
});

testWith('wget')('wget calls authenticated', async () => {
  await calls(world, 'wget', (url) => ['wget', '-q', '-O', '-', url]);
});

describe('git', () => {
  const repository = (name: string) => `${world.api}/git/${name}`;
  const identity = { GIT_AUTHOR_NAME: 'A', GIT_AUTHOR_EMAIL: 'a@b.test', GIT_COMMITTER_NAME: 'A', GIT_COMMITTER_EMAIL: 'a@b.test' };
  const wanted = `Basic ${Buffer.from(`${gitUser.username}:${gitUser.password}`).toString('base64')}`;

  testWith('git')('clones and pushes, small and in chunks, with the user name and password of its connection', async () => {
    git.create('project');
    const script = `set -e
      git clone -q '${repository('project')}' work && cd work && git checkout -q -b main
      echo one > one && git add . && git commit -q -m 'first' && git push -q origin main
      head -c 3000000 /dev/urandom > large && git add . && git commit -q -m 'large' && git push -q origin main
      git clone -q '${repository('project')}' ../again && cmp large ../again/large && git -C ../again log --format=%s`;
    const { code, stdout, stderr } = await world.run(['sh', '-c', script], { env: identity });
    expect([code, stderr]).toEqual([0, expect.not.stringMatching(/fatal|error/)]);
    expect(stdout).toBe('large\nfirst\n');
    expect(git.head('project', 'main')).toBe('large');
    expect(new Set(arrived(world, '/git/project/').map((seen) => seen.headers.authorization))).toEqual(new Set([wanted]));
    expect(arrived(world, '/git/project/git-receive-pack').some((seen) => seen.headers['transfer-encoding'] === 'chunked')).toBe(true);
  });

  testWith('git', 'git-lfs')('pushes a large file to LFS, and clones it from there, with the same', async () => {
    git.create('heavy');
    const script = `set -e
      git lfs install --skip-repo && git clone -q '${repository('heavy')}' heavy && cd heavy && git checkout -q -b main
      git lfs track '*.bin' && head -c 3000000 /dev/urandom > large.bin && git add . && git commit -q -m 'heavy' && git push -q origin main
      git clone -q '${repository('heavy')}' ../lighter && cmp large.bin ../lighter/large.bin`;
    const { code, stderr } = await world.run(['sh', '-c', script], { env: identity });
    expect([code, stderr]).toEqual([0, expect.not.stringMatching(/fatal|error/)]);
    const moved = arrived(world, '/git/heavy.git/info/lfs/objects/').filter(({ method }) => method !== 'POST');
    expect(moved.map(({ method, bytes }) => [method, bytes])).toEqual([
      ['PUT', 3_000_000],
      ['GET', 0],
    ]);
    expect(new Set(arrived(world, '/git/heavy').map((seen) => seen.headers.authorization))).toEqual(new Set([wanted]));
  });
});

describe('package managers', () => {
  testWith('npm')('npm asks its registry authenticated', async () => {
    const ended = await world.run(['npm', 'view', 'example', 'version', '--registry', `${world.api}/npm/`, '--no-update-notifier']);
    proves(world, '/npm/example', ended);
    expect(ended.stdout.trim()).toBe('3.2.1');
  });

  testWith(hasPython('pip') ? python : 'python3-pip')('pip asks its index authenticated', async () => {
    const index = ['--index-url', `${world.api}/as/pip/simple/`, '--disable-pip-version-check', '--no-cache-dir', '--retries', '0'];
    const ended = await world.run([python, '-m', 'pip', 'download', ...index, 'example-package']);
    proves(world, '/as/pip/simple/example-package/', { ...ended, code: 0 });
  });

  const rustup = join(process.env.RUSTUP_HOME ?? join(process.env.HOME ?? '/', '.rustup'));
  where(hasProgram('cargo'), 'cargo', 'cargo asks its registry authenticated', async () => {
    const env = {
      CARGO_REGISTRIES_LOCAL_INDEX: `sparse+${world.api}/cargo/`,
      ...(existsSync(rustup) ? { RUSTUP_HOME: rustup } : {}),
    };
    const ended = await world.run(['cargo', 'search', 'example', '--registry', 'local'], { env });
    proves(world, '/cargo/', ended);
    expect(ended.stdout).toContain('example = "3.2.1"');
  });
});

describe('tools of the clouds', () => {
  testWith('gh')('gh calls an enterprise host that wants the real token, with a placeholder of its own', async () => {
    const env = { GH_HOST: `${world.host}:${world.upstream.port}` };
    const script = `gh api user --jq .login && gh api repos/example/project/issues -f title=one --jq .login && echo "$GH_ENTERPRISE_TOKEN"`;
    const ended = await world.run(['sh', '-c', script], { env });
    proves(world, '/api/v3/', ended);
    expect(ended.stdout).toMatch(/^committer\ncommitter\n\S+\n$/);
    expect(arrived(world, '/api/v3/').map(({ method }) => method)).toEqual(['GET', 'POST']);
  });

  /** A kubeconfig as a cluster's owner hands it out, with `more` said of the cluster. */
  const kubeconfig = (more: Readonly<Record<string, string>>) => ({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'here',
    contexts: [{ name: 'here', context: { cluster: 'here', user: 'me' } }],
    clusters: [{ name: 'here', cluster: { server: `${world.api}/kube`, ...more } }],
    users: [{ name: 'me', user: { token: 'none' } }],
  });
  const asks = async (name: string, config: unknown, ...more: readonly string[]) => {
    writeFileSync(join(world.site.folder, name), JSON.stringify(config));
    const script = `kubectl --kubeconfig ${name} ${more.join(' ')} get namespaces -o name`;
    return world.run(['sh', '-c', script]);
  };
  testWith('kubectl')('kubectl calls authenticated where the cluster is trusted by the system', async () => {
    const ended = await asks('kubeconfig', kubeconfig({}));
    proves(world, '/kube/', ended);
    expect(ended.stdout).toBe('namespace/found\n');
  });
  testWith('kubectl')('kubectl with a kubeconfig that names an authority calls once it is told of ours', async () => {
    const named = kubeconfig({ 'certificate-authority-data': Buffer.from(testAuthority('example.test').pem).toString('base64') });
    expect(await asks('named', named)).toMatchObject({ code: 1, stderr: expect.stringContaining('unknown authority') });
    expect(await asks('named', named, '--certificate-authority "$SSL_CERT_FILE"')).toMatchObject({ code: 0, stdout: 'namespace/found\n' });
  });

  testWith('aws')('aws trusts the run and calls a host whose connection is a bearer token', async () => {
    const place = ['--no-sign-request', '--region', 'us-east-1', '--endpoint-url', `${world.api}/aws`];
    const ended = await world.run(['aws', 's3api', 'list-buckets', ...place, '--query', 'Buckets[].Name', '--output', 'text']);
    proves(world, '/aws', ended);
    expect(ended.stdout).toBe('found\n');
  });

  where(hasProgram('gcloud'), 'gcloud', 'gcloud calls authenticated, with a placeholder for its token', async () => {
    const script = `CLOUDSDK_AUTH_ACCESS_TOKEN="$EXAMPLE_API_KEY" gcloud storage buckets list --project example --format 'value(name)'`;
    const env = { CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE: `${world.api}/storage/v1/`, CLOUDSDK_CORE_DISABLE_PROMPTS: 'true' };
    const ended = await world.run(['sh', '-c', script], { env });
    proves(world, '/storage/', ended);
    expect(ended.stdout).toBe('found\n');
  });
});
