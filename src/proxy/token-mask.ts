const filler = 42;
const tokenNames: ReadonlySet<string> = new Set(['access_token', 'refresh_token', 'id_token']);
/** Longer than any of the names, also written in `\\u` escapes. */
const longestName = 128;

const quote = 34;
const backslash = 92;

/**
 * Overwrites the tokens in the answer of a token endpoint (RFC 6749 §5.1), in place and with equal length: the value of every
 * member of these names, at any depth of a JSON text, and of every field of these names in a form. What is no string (RFC 6749
 * has none) passes. Works on slices of any size.
 */
export class TokenMask {
  /** Tokens hidden so far. */
  masked = 0;
  /** What is being hidden: up to the closing quote, or up to the next field. */
  #hiding: 'string' | 'field' | undefined;
  /** Inside a JSON string: its text so far. */
  #string: string | undefined;
  #escaped = false;
  /** The JSON string before this point, for as long as a colon could make it a name. */
  #before = '';
  /** The name of the member whose value comes next is one of ours. */
  #named = false;
  /** The letters before this point, for as long as an equals sign could make them a field's name. */
  #word = '';

  /** The bytes are changed. */
  push(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at] as number;
      const hidden = this.#hiding !== undefined;
      this.#read(byte);
      if (hidden && this.#hiding !== undefined) bytes[at] = filler;
    }
  }

  #read(byte: number): void {
    if (this.#hiding === 'field') {
      if (isFieldEnd(byte)) this.#hiding = undefined;
      else return;
    }
    if (this.#string === undefined) this.#readBetween(byte);
    else this.#readString(byte);
    this.#readWord(byte);
  }

  #readString(byte: number): void {
    if (byte === quote && !this.#escaped) {
      this.#before = this.#hiding === undefined ? (this.#string ?? '') : '';
      this.#string = undefined;
      this.#hiding = undefined;
      return;
    }
    this.#escaped = byte === backslash && !this.#escaped;
    if (this.#string !== undefined && this.#string.length <= longestName) this.#string += String.fromCharCode(byte);
  }

  #readBetween(byte: number): void {
    if (byte === quote) {
      this.#string = '';
      if (this.#named) this.#hide('string');
      this.#named = false;
    } else if (byte === 58) {
      this.#named = isTokenName(this.#before);
      this.#before = '';
    } else if (byte > 32) {
      this.#named = false;
      this.#before = '';
    }
  }

  #readWord(byte: number): void {
    const letter = byte | 32;
    if ((letter >= 97 && letter <= 122) || byte === 95) this.#word = (this.#word + String.fromCharCode(byte)).slice(-32);
    else {
      if (byte === 61 && this.#hiding === undefined && tokenNames.has(this.#word)) this.#hide('field');
      this.#word = '';
    }
  }

  #hide(what: 'string' | 'field'): void {
    this.#hiding = what;
    this.masked++;
  }
}

/** Whatever cannot stand in a value of a form, or in one inside another text. */
function isFieldEnd(byte: number): boolean {
  return byte <= 32 || byte === 38 || byte === quote || byte === 39 || byte === 60 || byte === backslash;
}

function isTokenName(raw: string): boolean {
  if (tokenNames.has(raw)) return true;
  if (!raw.includes('\\')) return false;
  try {
    return tokenNames.has(String(JSON.parse(`"${raw}"`)));
  } catch {
    return false;
  }
}
