import type { Secret } from '#kernel';
import { proxyUser } from './forwarder.ts';
import { isSecretVariable } from './recognised.ts';

export type Variables = Readonly<Record<string, string | undefined>>;

export interface ChildEnvironmentInput {
  readonly parent: Variables;
  /** Variables of providers: placeholder or plain value, by name. */
  readonly provided: Readonly<Record<string, string>>;
  /** Names the person keeps with `--pass`. */
  readonly pass: readonly string[];
  readonly run: string;
  readonly level: string;
  readonly proxy: { readonly host: string; readonly port: number; readonly credential: Secret<string> };
  readonly files: TrustFiles;
  /** Set for Java only where there is one. */
  readonly java: boolean;
}

/** Files in the run's private folder. */
export interface TrustFiles {
  /** System roots and the run's authority, PEM. */
  readonly bundle: string;
  /** The run's authority alone, PEM. */
  readonly authority: string;
  /** The same as `bundle`, as a Java key store. */
  readonly javaStore: string;
  /** Options of the Java machine, one a line. */
  readonly javaOptions: string;
  /** Gives Java's HTTP client the proxy's password. */
  readonly javaAgent: string;
  /** Settings of wget, which reads no variable for authorities. */
  readonly wget: string;
  /** Preload for Node programs. */
  readonly preload: string;
}

export interface ChildEnvironment {
  readonly env: Readonly<Record<string, string>>;
  /** Names that were removed because they look like secrets, sorted. */
  readonly removed: readonly string[];
  /** Names of the parent's variables that were replaced by a provider's placeholder. */
  readonly replaced: readonly string[];
}

/** Never handed on: what is ours, except the marks of the run; and what the proxy settings replace in any spelling. */
const ours = /^(GATEHOUSE|AUTHSOME)_/;
const proxyNames = /^(https?|all|no|ftp|ws|wss|grpc)_proxy$|^npm_config_(https?_?-?)?proxy$|^npm_config_no_?proxy$/i;

/**
 * The environment of the program under `run` (SECURITY 5): the parent's without secrets, provider variables replaced by
 * placeholders, and whatever the known runtimes read to use the proxy and trust the run's authority.
 */
export function childEnvironment(input: ChildEnvironmentInput): ChildEnvironment {
  const env: Record<string, string> = {};
  const removed: string[] = [];
  const pass = new Set(input.pass);
  for (const [name, value] of Object.entries(input.parent)) {
    if (value === undefined || ours.test(name) || proxyNames.test(name)) continue;
    if (pass.has(name)) env[name] = value;
    else if (Object.hasOwn(input.provided, name)) continue;
    else if (isSecretVariable(name, value)) removed.push(name);
    else env[name] = value;
  }
  const provided = Object.entries(input.provided).filter(([name]) => !pass.has(name));
  Object.assign(
    env,
    Object.fromEntries(provided),
    trustVariables(input),
    proxyVariables(input),
    gitVariables(env, input),
    nodeVariables(env, input),
  );
  env.GATEHOUSE_RUN = input.run;
  env.GATEHOUSE_RUN_LEVEL = input.level;
  const replaced = provided.map(([name]) => name).filter((name) => (input.parent[name] ?? '') !== '');
  return { env, removed: removed.sort(), replaced: replaced.sort() };
}

/** The proxy's URL with the child's credential. */
function proxyUrl(proxy: ChildEnvironmentInput['proxy']): string {
  const host = proxy.host === '0.0.0.0' ? '127.0.0.1' : proxy.host;
  return `http://${proxyUser}:${proxy.credential.reveal()}@${host}:${proxy.port}`;
}

export const loopbackNames = 'localhost,127.0.0.1,::1';

function proxyVariables({ proxy }: ChildEnvironmentInput): Record<string, string> {
  const url = proxyUrl(proxy);
  const both = (name: string, value: string) => ({ [name]: value, [name.toLowerCase()]: value });
  return {
    ...both('HTTP_PROXY', url),
    ...both('HTTPS_PROXY', url),
    ...both('ALL_PROXY', url),
    ...both('NO_PROXY', loopbackNames),
    npm_config_proxy: url,
    npm_config_https_proxy: url,
    npm_config_noproxy: loopbackNames,
  };
}

/** Variables that replace a runtime's authorities (so they name the bundle), and those that add to them. */
function trustVariables({ files, java }: ChildEnvironmentInput): Record<string, string> {
  const replacing = [
    'SSL_CERT_FILE',
    'REQUESTS_CA_BUNDLE',
    'CURL_CA_BUNDLE',
    'GIT_SSL_CAINFO',
    'AWS_CA_BUNDLE',
    'PIP_CERT',
    'CARGO_HTTP_CAINFO',
    'NIX_SSL_CERT_FILE',
    'HTTPLIB2_CA_CERTS',
    'HTTPS_CA_FILE',
    'PERL_LWP_SSL_CA_FILE',
    'HEX_CACERTS_PATH',
    'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH',
    'CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE',
    'npm_config_cafile',
  ];
  return {
    ...Object.fromEntries(replacing.map((name) => [name, files.bundle])),
    NODE_EXTRA_CA_CERTS: files.bundle,
    WGETRC: files.wget,
    DENO_CERT: files.bundle,
    DENO_TLS_CA_STORE: 'system,mozilla',
    ...(java ? { JAVA_TOOL_OPTIONS: `-XX:+IgnoreUnrecognizedVMOptions -XX:VMOptionsFile=${files.javaOptions}` } : {}),
  };
}

/** Git's own settings win over the environment's proxy, so they are given as settings too. */
function gitVariables(env: Readonly<Record<string, string>>, { proxy }: ChildEnvironmentInput): Record<string, string> {
  const given = Number(env.GIT_CONFIG_COUNT ?? '0');
  const first = Number.isSafeInteger(given) && given >= 0 && given < 10_000 ? given : 0;
  const settings: readonly (readonly [string, string])[] = [
    ['http.proxy', proxyUrl(proxy)],
    ['http.proxyAuthMethod', 'basic'],
  ];
  const rows = settings.flatMap(([key, value], i) => [
    [`GIT_CONFIG_KEY_${first + i}`, key],
    [`GIT_CONFIG_VALUE_${first + i}`, value],
  ]);
  return { ...Object.fromEntries(rows), GIT_CONFIG_COUNT: String(first + settings.length) };
}

/** Node 24 reads the proxy variables itself when told to; the preload does it for older ones and for what it leaves out. */
function nodeVariables(env: Readonly<Record<string, string>>, { files }: ChildEnvironmentInput): Record<string, string> {
  const preload = `--require "${files.preload.replace(/(["\\])/g, '\\$1')}"`;
  return { NODE_USE_ENV_PROXY: '1', NODE_OPTIONS: env.NODE_OPTIONS ? `${env.NODE_OPTIONS} ${preload}` : preload };
}
