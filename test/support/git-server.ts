import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { lfsStore } from './lfs-store.ts';

export interface GitServer {
  /** A route of a test's upstream, for paths below `/git`. */
  readonly route: (request: IncomingMessage, response: ServerResponse, body: Buffer) => void;
  /** Makes an empty repository of that name. */
  create(name: string): void;
  /** The first line of the log of a repository's branch, on the server's side. */
  head(name: string, branch: string): string;
}

/** Git's own smart-HTTP server with a store for LFS beside it, which answers 401 to whoever is not `user`. */
export function gitServer(folder: string, user: { readonly username: string; readonly password: string }): GitServer {
  const root = join(folder, 'repositories');
  mkdirSync(root, { recursive: true });
  const lfs = lfsStore();
  const wanted = `Basic ${Buffer.from(`${user.username}:${user.password}`).toString('base64')}`;
  const git = (name: string, ...parameters: readonly string[]) =>
    spawnSync('git', ['-C', join(root, name), ...parameters], { encoding: 'utf8' }).stdout.trim();
  return {
    route(request, response, body) {
      if (request.headers.authorization !== wanted)
        response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end('who are you?');
      else if (request.url?.includes('/info/lfs/')) lfs(request, response, body);
      else serve(root, user.username, request, response, body);
    },
    create(name) {
      mkdirSync(join(root, name));
      git(name, 'init', '--bare', '--quiet', '--initial-branch=main');
    },
    head: (name, branch) => git(name, 'log', '-1', '--format=%s', branch),
  };
}

/** One request as a CGI call (RFC 3875). */
function serve(root: string, user: string, request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  const url = new URL(request.url ?? '/', 'http://git');
  const header = (name: string) => String(request.headers[name] ?? '');
  const backend = spawn('git', ['http-backend'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      REMOTE_USER: user,
      REQUEST_METHOD: request.method,
      PATH_INFO: url.pathname.replace(/^\/git/, ''),
      QUERY_STRING: url.search.slice(1),
      CONTENT_TYPE: header('content-type'),
      CONTENT_LENGTH: String(body.length),
      HTTP_CONTENT_ENCODING: header('content-encoding'),
      HTTP_GIT_PROTOCOL: header('git-protocol'),
    },
  });
  const parts: Buffer[] = [];
  backend.stdout.on('data', (part: Buffer) => parts.push(part));
  backend.stdout.on('end', () => answer(Buffer.concat(parts), response));
  backend.stdin.on('error', () => {});
  backend.stdin.end(body);
}

function answer(told: Buffer, response: ServerResponse): void {
  const end = told.indexOf('\r\n\r\n');
  const headers = told
    .subarray(0, end)
    .toString('latin1')
    .split('\r\n')
    .map((line) => /^([^:]+): *(.*)$/.exec(line))
    .flatMap((match) => (match === null ? [] : [[match[1] as string, match[2] as string] as const]));
  const status = headers.find(([name]) => name.toLowerCase() === 'status')?.[1] ?? '200';
  response.statusCode = Number.parseInt(status, 10);
  for (const [name, value] of headers) if (name.toLowerCase() !== 'status') response.setHeader(name, value);
  response.end(told.subarray(end + 4));
}
