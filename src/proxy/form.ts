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

/** Boundaries are not followed: a line that names a field counts wherever it stands. */
function multipart(): FormGuard {
  let line = '';
  return (slice) => {
    for (const character of slice.toString('latin1')) {
      if (character !== '\n' && character !== '\r') {
        if (line.length < longestLine) line += character;
        continue;
      }
      if (line !== '' && namesMethod(line)) return true;
      line = '';
    }
    return false;
  };
}

/** A line may go on in the next one (RFC 9112 §5.2), so a name that stands alone in one counts as well. */
function namesMethod(line: string): boolean {
  if (!/^(content-disposition\s*:|[ \t]+(;|name\*?\s*=|filename|form-data))/i.test(line)) return false;
  if (line.length >= longestLine) return true;
  for (const [, quoted, bare] of line.matchAll(/(?<![a-z])name(?:\*[0-9]*\*?)?\s*=\s*(?:"((?:[^"\\]|\\.)*)|([^;\s]*))/gi)) {
    const value = (quoted ?? bare ?? '')
      .replaceAll('\\', '')
      .replace(/^'|^[\w-]*'[\w-]*'/, '')
      .replace(/'$/, '');
    if (isOverridingParameter(value)) return true;
  }
  return false;
}
