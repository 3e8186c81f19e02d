import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { python, testWith } from '../support/need.ts';
import { must } from '../support/person.ts';
import { makeWorld, type World } from '../support/world.ts';

const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'));
if (!hasIpv6) process.stderr.write('not run: needs IPv6 on the loopback interface\n');

let world: World;
beforeAll(async () => {
  world = await makeWorld({ address: hasIpv6 ? '::1' : '127.0.0.1' });
});
afterAll(() => world?.close());

test.skipIf(!hasIpv6)('a host that has nothing but an IPv6 address is called authenticated', async () => {
  const script = `fetch('${world.api}/six').then(async (answer) => console.log(answer.status, await answer.text()))`;
  expect(must(await world.run([process.execPath, '-e', script])).stdout).toMatch(/^200 .*"path":"\/six"/);
  expect(world.upstream.seen.at(-1)?.headers.authorization).toBe(`Bearer ${world.canary}`);
});

/** Names of hosts that tunnels were opened to, or calls were made to. */
async function recorded(): Promise<readonly string[]> {
  const { stdout } = must(await world.site.command(['log', '--json', '--limit', '200']));
  const { items } = JSON.parse(stdout) as { items: { name: string; fields: { host?: string; port?: number } }[] };
  return items.filter(({ name }) => /^(call|tunnel)\./.test(name)).map(({ fields }) => `${fields.host}:${fields.port}`);
}

testWith('curl', 'python3')('what runs on this machine is called past the proxy, and is on no record', async () => {
  let heard = 0;
  const local = createServer((request, response) => {
    heard++;
    response.end(request.headers['proxy-authorization'] ?? 'direct');
  });
  await new Promise<void>((resolve) => local.listen(0, '127.0.0.1', resolve));
  const { port } = local.address() as AddressInfo;
  try {
    const urls = ['localhost', '127.0.0.1'].map((name) => `http://${name}:${port}/`);
    const fetching = `for (const url of ${JSON.stringify(urls)}) console.log(await (await fetch(url)).text());`;
    const reading = `import urllib.request\nfor url in ${JSON.stringify(urls)}: print(urllib.request.urlopen(url).read().decode())`;
    for (const program of [
      ['curl', '-sS', '-w', '\n', ...urls],
      [process.execPath, '--input-type=module', '-e', fetching],
      [python, '-c', reading],
    ])
      expect([program[0], must(await world.run(program)).stdout.trim()]).toEqual([program[0], 'direct\ndirect']);
    expect(heard).toBe(6);
    expect((await recorded()).filter((one) => one.endsWith(`:${port}`))).toEqual([]);
  } finally {
    await new Promise((resolve) => local.close(resolve));
  }
});

testWith('curl')('a program that insists on the proxy does not get through it to the server or to the proxy itself', async () => {
  const { port, proxyPort } = world.site;
  const targets = [port, proxyPort].flatMap((own) =>
    ['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]', '0.0.0.0', '127.1'].map((host) => `${host}:${own}`),
  );
  const script = targets
    .flatMap((target) => [`https://${target}/v1/whoami`, `http://${target}/v1/whoami`])
    .map((url) => `curl -sS -k --noproxy '' -m 20 -o /dev/null -w '%{http_code}:%{http_connect} ' '${url}' 2>/dev/null`)
    .join('; ');
  const { stdout } = await world.run(['sh', '-c', script]);
  const said = stdout.trim().split(' ');
  expect(said).toHaveLength(targets.length * 2);
  for (const one of said) expect(one).toMatch(/^(000|400|403|421|502):(000|400|403|421|502)$/);
  expect(world.site.output()).not.toMatch(/"level":"error"/);
});
