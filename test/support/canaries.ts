import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Installation } from './installation.ts';

/** What must not be found anywhere, by name. */
export type Canaries = ReadonlyMap<string, string | Buffer>;

/**
 * The same bytes as programs write them down: plain, hexadecimal in either case, base64 and base64url at each of their
 * three offsets.
 */
export function formsOf(secret: string | Buffer): readonly Buffer[] {
  const bytes = Buffer.from(secret as string);
  const hex = bytes.toString('hex');
  const shifted = [0, 1, 2].flatMap((offset) => {
    const whole = Math.floor((offset + bytes.length) / 3) * 4;
    const text = Buffer.concat([Buffer.alloc(offset), bytes])
      .toString('base64url')
      .slice(4, whole);
    return [text, text.replaceAll('-', '+').replaceAll('_', '/')];
  });
  return [bytes, ...[...new Set([hex, hex.toUpperCase(), ...shifted])].map((text) => Buffer.from(text))];
}

/** Names of the canaries that a text or a file holds. */
export function heldBy(canaries: Canaries, content: string | Buffer): readonly string[] {
  const bytes = Buffer.from(content as string);
  return [...canaries].filter(([, secret]) => formsOf(secret).some((form) => bytes.includes(form))).map(([name]) => name);
}

/** What is looked for, veiled: a search must not find its own words in its arguments or in those of whoever started it. */
export function veiled(canaries: Canaries): string {
  const rows = [...canaries].flatMap(([name, secret]) => formsOf(secret).map((form) => [name, form.toString('hex')] as const));
  return Buffer.from(Buffer.from(JSON.stringify(rows)).map((byte) => byte ^ 0x5a)).toString('hex');
}

/** The session of its browser. */
export function sessionOf({ browser, url }: Installation): string {
  return Object.values(browser.cookies(url)).reduce((a, b) => (a.length > b.length ? a : b));
}

/** Its newest master key, as it is written in the key file and as bytes. */
export function masterKeyOf({ config }: Installation): { readonly text: string; readonly bytes: Buffer } {
  const { keys } = JSON.parse(readFileSync(join(config, 'master.key'), 'utf8')) as { readonly keys: readonly { readonly key: string }[] };
  const text = keys.at(-1)?.key ?? '';
  const bytes = Buffer.from(text, /^[0-9a-f]{64}$/i.test(text) ? 'hex' : 'base64url');
  if (bytes.length !== 32) throw new Error('the key file holds no key');
  return { text, bytes };
}
