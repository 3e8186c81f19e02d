import { once } from 'node:events';
import { chmod, writeFile } from 'node:fs/promises';
import { Fault } from '#kernel';
import type { Context } from '../context.ts';
import { createEnding } from './ending.ts';
import { makeRunFolder } from './folder.ts';
import { standingOf } from './level.ts';
import { prepareRun, serverForRun } from './run.ts';

export interface EnvOptions {
  readonly agent?: string;
  readonly connections: Readonly<Record<string, string>>;
  readonly format: string;
  readonly listen: { readonly host: string; readonly port: number };
  /** How programs name the forwarder. */
  readonly host?: string;
  /** Where the run's folder is for them. */
  readonly mount: string;
  readonly output?: string;
}

type Render = (variables: Readonly<Record<string, string>>) => string;

const quoted = (value: string) => `'${value.replaceAll("'", "'\\''")}'`;
const isCredential = (name: string) => /proxy$/i.test(name) || /^GIT_CONFIG_VALUE_/.test(name);

/** Formats of `env`: one row each. */
const formats: Readonly<Record<string, Render>> = {
  shell: (variables) =>
    Object.entries(variables)
      .map(([name, value]) => `export ${name}=${quoted(value)}\n`)
      .join(''),
  docker: (variables) =>
    Object.entries(variables)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  k8s: (variables) => {
    const part = (kind: string, field: string, wanted: boolean) => ({
      apiVersion: 'v1',
      kind,
      metadata: { name: 'gatehouse-run' },
      [field]: Object.fromEntries(Object.entries(variables).filter(([name]) => isCredential(name) === wanted)),
    });
    const items = [part('ConfigMap', 'data', false), part('Secret', 'stringData', true)];
    return `${JSON.stringify({ apiVersion: 'v1', kind: 'List', items }, null, 2)}\n`;
  },
};

/**
 * A forwarder for programs in containers, with a run of its own that lives until this command is interrupted. What is
 * printed points at the forwarder, never at the server. @throws {Fault} `invalid_usage`
 */
export async function serveEnvironment(context: Context, options: EnvOptions): Promise<number> {
  const render = formats[options.format];
  if (render === undefined) throw new Fault('invalid_usage', { hint: `--format takes ${Object.keys(formats).join(', ')}` });
  const ending = createEnding();
  try {
    const server = await serverForRun(context, ending);
    const folder = makeRunFolder({});
    ending.add(() => folder.remove());
    const key = context.agentKey(options.agent);
    const { environment, session } = await prepareRun(context, {
      server,
      key,
      // In a container keys and injection are out of the agent's reach.
      level: options.format === 'shell' ? (await standingOf(context, { server, key })).level : 'separated',
      program: `env ${options.format}`,
      options: { connections: options.connections, pass: [] },
      ending,
      folder,
      listen: options.listen,
      ...(options.host === undefined ? {} : { reachedBy: options.host }),
      parent: {},
    });
    const interrupted = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
    const text = render(moved(environment.env, folder.path, options.mount));
    if (options.output === undefined) context.io.stdout.write(text);
    else await writePrivately(options.output, text);
    context.speech.note(
      `gatehouse: forwarding for run ${session.started.run}; the authorities are in ${folder.path}; interrupt to end the run`,
    );
    await interrupted;
    return 0;
  } finally {
    await ending.all();
  }
}

/** Paths of the run's folder as the container sees them. */
function moved(env: Readonly<Record<string, string>>, from: string, to: string): Readonly<Record<string, string>> {
  if (to === '') return env;
  return Object.fromEntries(Object.entries(env).map(([name, value]) => [name, value.replaceAll(from, to.replace(/\/$/, ''))]));
}

/** For its owner only, also where the file was there before. */
async function writePrivately(path: string, text: string): Promise<void> {
  await writeFile(path, '', { mode: 0o600 });
  await chmod(path, 0o600);
  await writeFile(path, text);
}
