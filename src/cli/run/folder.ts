import { accessSync, chownSync, constants, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { bundlePem, derOf, pemBlocks, systemAuthorities } from './bundle.ts';
import type { ChildEnvironmentInput, TrustFiles, Variables } from './environment.ts';
import { javaOptions, javaTrustStore } from './java.ts';
import { javaAgent } from './java-agent.ts';
import { preloadSource } from './preload.ts';

/** The run's own folder: public certificates, and options only its program may read. */
export interface RunFolder {
  readonly path: string;
  readonly files: TrustFiles;
  readonly java: boolean;
  /** Writes the files once the run's authority and the proxy are known. */
  fill(facts: { readonly authorityPem: string; readonly proxy: ChildEnvironmentInput['proxy']; readonly now: number }): void;
  /** Gives it to the user the program runs as. */
  handOver(user: { readonly uid: number; readonly gid: number }): void;
  remove(): void;
}

export function makeRunFolder(env: Variables): RunFolder {
  const path = mkdtempSync(join(tmpdir(), 'gatehouse-run-'));
  const files: TrustFiles = {
    bundle: join(path, 'authorities.pem'),
    authority: join(path, 'run-authority.pem'),
    javaStore: join(path, 'authorities.jks'),
    javaOptions: join(path, 'java.options'),
    javaAgent: join(path, 'java-agent.jar'),
    wget: join(path, 'wgetrc'),
    preload: join(path, 'preload.cjs'),
  };
  const java = hasJava(env);
  return Object.freeze({
    path,
    files,
    java,
    fill({ authorityPem, proxy, now }: Parameters<RunFolder['fill']>[0]) {
      const authorities = systemAuthorities(env);
      writeFileSync(files.bundle, bundlePem(authorities, authorityPem));
      writeFileSync(files.authority, authorityPem);
      writeFileSync(files.preload, preloadSource());
      writeFileSync(files.wget, `ca_certificate = ${files.bundle}\n`);
      if (!java) return;
      writeFileSync(files.javaAgent, javaAgent());
      writeFileSync(files.javaStore, javaTrustStore(derOf([...authorities, ...pemBlocks(authorityPem)]), now));
      writeFileSync(files.javaOptions, javaOptions(proxy, files.javaStore, files.javaAgent), { mode: 0o600 });
    },
    handOver({ uid, gid }: { readonly uid: number; readonly gid: number }) {
      for (const file of [path, ...Object.values(files)]) if (existsSync(file)) chownSync(file, uid, gid);
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  });
}

function hasJava(env: Variables): boolean {
  return (env.JAVA_HOME ?? '') !== '' || findProgram('java', env.PATH) !== undefined;
}

/** The file a command name stands for, as a shell would find it. */
export function findProgram(name: string, path: string | undefined): string | undefined {
  const candidates = name.includes('/') ? [name] : (path ?? '').split(delimiter).map((folder) => join(folder || '.', name));
  return candidates.find((candidate) => {
    try {
      accessSync(candidate, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
