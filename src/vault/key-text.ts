import { z } from 'zod';
import { type Clock, Fault, Secret } from '#kernel';
import { generateMasterKey, type MasterKey, parseMasterKey } from './master-key.ts';

const schema = z.strictObject({
  version: z.literal(1),
  keys: z
    .array(z.strictObject({ id: z.string(), key: z.string(), created_at: z.int().nonnegative() }))
    .min(1)
    .max(64),
});
type KeyText = z.infer<typeof schema>;

/**
 * Parses the text of the master keys: `{version, keys: [{id, key, created_at}]}`, oldest first, or the plain text of
 * one key. @throws {Fault} `master_key_malformed`
 */
export function parseKeys(text: Secret<string>, production: boolean): readonly MasterKey[] {
  const plain = text.reveal().trim();
  if (!plain.startsWith('{')) return [parseMasterKey(text, production)];
  return parseEntries(plain).map((entry) => {
    const key = parseMasterKey(new Secret(entry.key), production, entry.created_at);
    if (key.id !== entry.id) throw damagedKeys('A master key does not go with its id');
    return key;
  });
}

/** The text of one new key. */
export function newKeys(clock: Clock): string {
  return print([freshKey(clock)]);
}

/** The text with one more key at its end, and the id of that. @throws {Fault} `master_key_malformed` */
export function withNewKey(text: Secret<string>, clock: Clock): { readonly text: string; readonly id: string } {
  const old = parseKeys(text, false);
  const made = freshKey(clock, Math.max(...old.map((key) => key.createdAt)));
  return { text: print([...old.map(printable), made]), id: made.id };
}

export function damagedKeys(detail: string): Fault {
  return new Fault('master_key_malformed', { detail });
}

function parseEntries(text: string): KeyText['keys'] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's message quotes its input, which is the key.
    throw damagedKeys('The master keys are not JSON');
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw damagedKeys('The master keys are not of the form {version, keys: [{id, key, created_at}]}');
  if (new Set(parsed.data.keys.map((key) => key.id)).size < parsed.data.keys.length) throw damagedKeys('A master key is kept twice');
  return parsed.data.keys;
}

function freshKey(clock: Clock, after = 0): KeyText['keys'][number] {
  const key = generateMasterKey();
  const createdAt = Math.max(clock.now(), after + 1);
  return { id: parseMasterKey(new Secret(key), false).id, key, created_at: createdAt };
}

function printable(master: MasterKey): KeyText['keys'][number] {
  return { id: master.id, key: master.key.export().toString('hex'), created_at: master.createdAt };
}

function print(keys: KeyText['keys']): string {
  return `${JSON.stringify({ version: 1, keys } satisfies KeyText, null, 2)}\n`;
}
