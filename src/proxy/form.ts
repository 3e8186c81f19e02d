import { type Allowed, isOverridingParameter } from '#broker';

/** Takes the body as it comes; true once it holds a field that could name another method. */
export type FormGuard = (slice: Buffer) => boolean;

/**
 * Watches a form on its way out. What a field is called is known before its last byte is sent, so an exchange that ends at
 * `true` leaves the upstream with half a body and nothing to act on (SECURITY 9). Holds one name, or one line, at a time.
 */
export function formGuard(form: NonNullable<Allowed['form']>): FormGuard {
  return form === 'urlencoded' ? urlencoded() : multipart();
}

/** Longer than any spelling of the names that are looked for. */
const longestName = 256;

function urlencoded(): FormGuard {
  let name = '';
  let inName = true;
  return (slice) => {
    const text = slice.toString('latin1');
    for (let at = 0; at < text.length; at++) {
      const character = text[at] as string;
      if (character === '&' || character === ';') {
        inName = true;
        name = '';
      } else if (inName && character === '=') {
        if (isOverridingParameter(name)) return true;
        inName = false;
      } else if (inName && name.length < longestName) name = leadingSpace.test(name + character) ? '' : name + character;
    }
    return false;
  };
}

/** Some readers drop it, however long it is. */
const leadingSpace = /^(\+|[\0-\x20]|%20|%[01][0-9a-f])$/i;

/** Longer than a part's disposition needs to be; one that is longer is not read, so it is not let through. */
const longestLine = 4_096;

/** Boundaries are not followed: a line that names a field counts wherever it stands. Readers differ in what ends one. */
function multipart(): FormGuard {
  const readers = [dispositions('\r\n'), dispositions('\n')];
  return (slice) => readers.some((reader) => reader(slice));
}

/** Reads lines that end at any of these characters, and go on where the next one begins with a space (RFC 5322 §2.2.3). */
function dispositions(ends: string): FormGuard {
  let line = '';
  let ended = false;
  return (slice) => {
    for (const character of slice.toString('latin1')) {
      if (ends.includes(character)) {
        if (!ended && namesMethod(line)) return true;
        ended = true;
        continue;
      }
      if (ended && character !== ' ' && character !== '\t') line = '';
      ended = false;
      if (line.length < longestLine) line += character;
    }
    return false;
  };
}

/** A name in pieces (RFC 2231 §3) or in encoded words (RFC 2047 §2), which some readers put together, could be any. */
function namesMethod(line: string): boolean {
  if (!/(^|[ \t])content-disposition\s*:/i.test(line)) return false;
  if (line.length >= longestLine) return true;
  for (const [, piece, quoted, bare] of line.matchAll(/(?<![a-z])name(?:\*([0-9]*)\*?)?\s*=\s*(?:"((?:[^"\\]|\\.)*)|([^;\s]*))/gi)) {
    if (piece || (quoted ?? bare)?.includes('=?')) return true;
    const value = (quoted ?? bare ?? '')
      .replaceAll('\\', '')
      .replace(/^'|^[\w-]*'[\w-]*'/, '')
      .replace(/'$/, '');
    if (isOverridingParameter(value)) return true;
  }
  return false;
}
