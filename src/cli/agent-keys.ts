import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { nameSchema } from '#api';
import { Fault } from '#kernel';
import { encodeDidKey, type PublicJwk, verificationKeyOf } from '#oauth';
import { createPrivateFile, writePrivateFile } from './private-folder.ts';

/** An agent's own key on this machine, and the servers it is registered at (issuer → id). */
export interface AgentKey {
  readonly handle: string;
  readonly did: string;
  readonly publicJwk: PublicJwk;
  readonly privateKey: KeyObject;
  readonly registered: Readonly<Record<string, string>>;
}

const fileShape = z.object({
  handle: nameSchema,
  private_jwk: z.record(z.string(), z.string()),
  registered: z.record(z.string(), z.string()).default({}),
});

export interface AgentKeys {
  list(): readonly AgentKey[];
  find(handle: string): AgentKey | undefined;
  /** The key of that name, made when there is none. */
  ensure(handle: string, kind?: 'ed25519' | 'p256'): Promise<AgentKey>;
  /** Remembers where the agent is registered. */
  register(key: AgentKey, issuer: string, id: string): Promise<AgentKey>;
  /** The agent that `run` uses when none is named. */
  current(): string;
  use(handle: string): Promise<void>;
}

const defaultHandle = 'default';

/** Agent keys in `agents/` of the configuration folder, one 0600 file each. */
export function agentKeys(configFolder: string): AgentKeys {
  const folder = join(configFolder, 'agents');
  const pathOf = (handle: string) => join(folder, `${nameSchema.parse(handle)}.json`);
  const chosen = join(configFolder, 'agent');

  const find = (handle: string): AgentKey | undefined => {
    const text = textOf(pathOf(handle));
    return text === undefined ? undefined : parseKey(text);
  };
  const ensure = async (handle: string, kind: 'ed25519' | 'p256' = 'ed25519'): Promise<AgentKey> => {
    const made = find(handle) ?? newKey(handle, kind);
    await createPrivateFile(pathOf(handle), textFor(made));
    return find(handle) ?? made;
  };

  return Object.freeze({
    list: () => handlesIn(folder).flatMap((handle) => find(handle) ?? []),
    find,
    ensure,
    async register(key: AgentKey, issuer: string, id: string) {
      const registered = { ...key, registered: { ...key.registered, [issuer]: id } };
      await writePrivateFile(pathOf(key.handle), textFor(registered));
      return registered;
    },
    current: () => textOf(chosen)?.trim() || defaultHandle,
    use: (handle: string) => writePrivateFile(chosen, `${nameSchema.parse(handle)}\n`),
  });
}

function textFor(key: AgentKey): string {
  const file = { handle: key.handle, private_jwk: key.privateKey.export({ format: 'jwk' }), registered: key.registered };
  return `${JSON.stringify(file, null, 2)}\n`;
}

function newKey(handle: string, kind: 'ed25519' | 'p256'): AgentKey {
  const { privateKey } = kind === 'p256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('ed25519');
  return keyOf(handle, privateKey, {});
}

function keyOf(handle: string, privateKey: KeyObject, registered: Readonly<Record<string, string>>): AgentKey {
  const verification = verificationKeyOf(privateKey);
  if (verification === undefined) throw unreadable();
  return { handle, privateKey, publicJwk: verification.jwk, did: encodeDidKey(verification.jwk), registered };
}

function parseKey(text: string): AgentKey {
  try {
    const file = fileShape.parse(JSON.parse(text));
    return keyOf(file.handle, createPrivateKey({ key: file.private_jwk, format: 'jwk' }), file.registered);
  } catch (cause) {
    throw unreadable(cause);
  }
}

function unreadable(cause?: unknown): Fault {
  return new Fault('agent_unknown', {
    detail: 'The file of this agent key cannot be read',
    hint: 'make another agent with: gatehouse agent create NAME',
    cause,
  });
}

function handlesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith('.json'))
      .map((name) => name.slice(0, -'.json'.length))
      .filter((name) => nameSchema.safeParse(name).success)
      .sort();
  } catch {
    return [];
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
