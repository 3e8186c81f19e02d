import { randomBytes } from 'node:crypto';
import { Secret } from '#kernel';

/** A new bearer value in base64url: 256 random bits, or as many bytes as asked for, 16 at least. */
export function bearerValue(bytes = 32): Secret<string> {
  if (bytes < 16) throw new RangeError('a bearer value has at least 128 bits');
  return new Secret(randomBytes(bytes).toString('base64url'));
}

/** Digits and upper-case letters without I, L, O and U: 5 bits each. */
const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** A code that a person types: `XXXX-XXXX`, 40 random bits. Rests only as an HMAC, and few tries are let through. */
export function userCode(): Secret<string> {
  return new Secret([letters(4), letters(4)].join('-'));
}

/** One for a device of somebody else's: `XXX-XXX-XXX`, 45 random bits. Its length tells it from one of ours. */
export function deviceUserCode(): Secret<string> {
  return new Secret([letters(3), letters(3), letters(3)].join('-'));
}

function letters(count: number): string {
  return Array.from(randomBytes(count), (byte) => alphabet.charAt(byte & 31)).join('');
}

/**
 * The one spelling of a code as a person may have typed it (lower case, spaces, other dashes, O for 0, I or L for 1),
 * or undefined when it cannot be one.
 */
export function parseUserCode(typed: string): string | undefined {
  return spelled(typed, /^([0-9A-HJKMNP-TV-Z]{4})([0-9A-HJKMNP-TV-Z]{4})$/);
}

/** The same for the code of a device. */
export function parseDeviceUserCode(typed: string): string | undefined {
  return spelled(typed, /^([0-9A-HJKMNP-TV-Z]{3})([0-9A-HJKMNP-TV-Z]{3})([0-9A-HJKMNP-TV-Z]{3})$/);
}

function spelled(typed: string, shape: RegExp): string | undefined {
  if (typed.length > 64) return undefined;
  const plain = typed
    .toUpperCase()
    .replace(/[\s\-\u2010-\u2015]/g, '')
    .replaceAll('O', '0')
    .replace(/[IL]/g, '1');
  return shape.exec(plain)?.slice(1).join('-');
}
