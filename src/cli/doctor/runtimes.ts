import { devNull } from 'node:os';

/** One way a program may call out: how to find it, and what to start. `url` ends without a slash. */
export interface Runtime {
  readonly name: string;
  readonly program: string;
  /** Parameters that succeed only where the runtime has what the trial needs (a module). */
  readonly needs?: readonly string[];
  readonly parameters: (url: string) => readonly string[];
  /** Variables it makes no call without. */
  readonly env?: (url: string) => Readonly<Record<string, string>>;
  /** A source file written beside, for runtimes that start none from a parameter. */
  readonly file?: { readonly name: string; readonly text: (url: string) => string };
  /** Why it is known not to work, shown instead of a failure. */
  readonly limit?: string;
}

const python = (name: string, module: string | undefined, text: (url: string) => string): Runtime => ({
  name: `python ${name}`,
  program: 'python3',
  ...(module === undefined ? {} : { needs: ['-c', `import ${module}`] }),
  parameters: (url) => ['-c', text(url)],
});

const node = (name: string, text: (url: string) => string): Runtime => ({
  name: `node ${name}`,
  program: 'node',
  parameters: (url) => ['--input-type=module', '-e', text(url)],
});

const java = (name: string, body: (url: string) => string, limit?: string): Runtime => ({
  name: `java ${name}`,
  program: 'java',
  parameters: () => ['Trial.java'],
  file: {
    name: 'Trial.java',
    text: (url) => `public class Trial { public static void main(String[] a) throws Exception { ${body(url)} } }`,
  },
  ...(limit === undefined ? {} : { limit }),
});

/** Every runtime `doctor` knows: one row each. */
export const runtimes: readonly Runtime[] = [
  { name: 'curl', program: 'curl', parameters: (url) => ['-sS', '--max-time', '20', url] },
  { name: 'wget', program: 'wget', parameters: (url) => ['-q', '-T', '20', '-t', '1', '-O', '-', url] },
  { name: 'git', program: 'git', parameters: (url) => ['ls-remote', `${url}/repository.git`] },
  python('urllib', undefined, (url) => `import urllib.request; urllib.request.urlopen('${url}', timeout=20).read()`),
  python('requests', 'requests', (url) => `import requests; requests.get('${url}', timeout=20)`),
  python('httpx', 'httpx', (url) => `import httpx; httpx.get('${url}', timeout=20)`),
  python(
    'aiohttp',
    'aiohttp',
    (url) => `
import asyncio, aiohttp
async def main():
    async with aiohttp.ClientSession(trust_env=True) as session:
        async with session.get('${url}') as answer: await answer.read()
asyncio.run(main())`,
  ),
  node('fetch', (url) => `await fetch('${url}')`),
  node('https', (url) => `import https from 'node:https'; https.get('${url}', (answer) => answer.resume())`),
  node(
    'https agent',
    (url) => `import https from 'node:https'; https.get('${url}', { agent: new https.Agent() }, (answer) => answer.resume())`,
  ),
  { name: 'deno', program: 'deno', parameters: (url) => ['eval', `await fetch('${url}')`] },
  { name: 'bun', program: 'bun', parameters: (url) => ['-e', `await fetch('${url}')`] },
  {
    name: 'go',
    program: 'go',
    parameters: () => ['run', 'trial.go'],
    file: {
      name: 'trial.go',
      text: (url) => `package main\nimport "net/http"\nfunc main() { if _, err := http.Get("${url}"); err != nil { panic(err) } }\n`,
    },
  },
  { name: 'ruby', program: 'ruby', parameters: (url) => ['-rnet/http', '-e', `Net::HTTP.get(URI('${url}'))`] },
  {
    name: 'perl',
    program: 'perl',
    needs: ['-MLWP::Protocol::https', '-MLWP::UserAgent', '-e', '1'],
    parameters: (url) => ['-MLWP::UserAgent', '-e', `my $u = LWP::UserAgent->new(env_proxy => 1); $u->get('${url}')`],
  },
  {
    name: 'php',
    program: 'php',
    needs: ['-r', 'exit(function_exists("curl_init") ? 0 : 1);'],
    parameters: (url) => ['-r', `$c = curl_init('${url}'); curl_exec($c);`],
  },
  java('URLConnection', (url) => `new java.net.URL("${url}").openStream().readAllBytes();`),
  java(
    'HttpClient',
    (url) =>
      `java.net.http.HttpClient.newHttpClient().send(java.net.http.HttpRequest.newBuilder(java.net.URI.create("${url}")).build(), java.net.http.HttpResponse.BodyHandlers.ofString());`,
    'gives no password to a proxy by itself: build it with .authenticator(Authenticator.getDefault())',
  ),
  { name: 'cargo', program: 'cargo', parameters: (url) => ['search', 'x', '--index', `sparse+${url}/`] },
  {
    name: 'npm',
    program: 'npm',
    parameters: (url) => ['view', 'x', '--registry', `${url}/`, '--fetch-retries', '0', '--loglevel', 'silent'],
  },
  {
    name: 'pip',
    program: 'pip',
    parameters: (url) => ['download', 'x', '--no-deps', '--quiet', '--retries', '0', '--no-cache-dir', '--index-url', `${url}/`],
  },
  { name: 'aws', program: 'aws', parameters: (url) => ['s3', 'ls', '--no-sign-request', '--region', 'us-east-1', '--endpoint-url', url] },
  {
    name: 'gh',
    program: 'gh',
    parameters: (url) => ['api', url],
    env: (url) => ({ GH_HOST: new URL(url).host, GH_ENTERPRISE_TOKEN: 'none' }),
  },
  {
    name: 'kubectl',
    program: 'kubectl',
    parameters: (url) => [
      '--kubeconfig',
      devNull,
      '--token',
      'none',
      '--server',
      new URL(url).origin,
      'get',
      '--raw',
      new URL(url).pathname,
    ],
  },
  {
    name: 'gcloud',
    program: 'gcloud',
    parameters: () => ['storage', 'buckets', 'list', '--project', 'trial'],
    env: (url) => ({
      CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE: `${url}/`,
      CLOUDSDK_AUTH_DISABLE_CREDENTIALS: 'true',
      CLOUDSDK_CORE_DISABLE_PROMPTS: 'true',
    }),
  },
];
