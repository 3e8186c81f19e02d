/**
 * Every form in which a secret may come back (SECURITY 10): plain, percent-encoded, JSON-escaped, hexadecimal, and base64
 * or base64url at any of the three offsets a value can have inside a longer encoded text. Longest first.
 */
export type Needles = readonly Buffer[];

/** Shorter values would mask innocent text; no credential worth a name is shorter. */
const shortestSecret = 4;
const shortestNeedle = 4;

/** The forms of all `values`, without repetition. */
export function needlesOf(values: readonly string[]): Needles {
  const forms = new Set<string>();
  for (const value of values) {
    if (Buffer.byteLength(value) < shortestSecret) continue;
    for (const form of formsOf(value)) if (form.length >= shortestNeedle) forms.add(form);
  }
  return [...forms].map((form) => Buffer.from(form, 'latin1')).sort((a, b) => b.length - a.length);
}

/** Forms as latin1 text, one character a byte. */
function formsOf(value: string): string[] {
  const bytes = Buffer.from(value, 'utf8');
  const hex = bytes.toString('hex');
  return [
    bytes.toString('latin1'),
    ...percentForms(value, hex),
    ...jsonForms(value),
    hex,
    hex.toUpperCase(),
    ...[0, 1, 2].flatMap((offset) => base64Forms(bytes, offset)),
  ];
}

function percentForms(value: string, hex: string): string[] {
  const component = encodeURIComponent(value.toWellFormed());
  const strict = component.replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
  const all = hex.replace(/../g, (pair) => `%${pair}`);
  return [
    component,
    lowerEscapes(component),
    strict,
    lowerEscapes(strict),
    strict.replaceAll('%20', '+'),
    encodeURI(value.toWellFormed()),
    all,
    all.toUpperCase(),
  ];
}

const lowerEscapes = (text: string) => text.replace(/%[0-9A-F]{2}/g, (pair) => pair.toLowerCase());

function jsonForms(value: string): string[] {
  const escaped = JSON.stringify(value).slice(1, -1);
  const forms = [escaped, escaped.replaceAll('/', '\\/')];
  const unicode = (digits: (code: number) => string, which: RegExp) =>
    escaped.replace(which, (character) => `\\u${digits(character.charCodeAt(0)).padStart(4, '0')}`);
  const lower = (code: number) => code.toString(16);
  const upper = (code: number) => code.toString(16).toUpperCase();
  for (const which of [/[\u007f-\uffff]/g, /[<>&'\u007f-\uffff]/g, /[<>&'+/=\u007f-\uffff]/g]) {
    forms.push(unicode(lower, which), unicode(upper, which));
  }
  return forms.map((form) => Buffer.from(form, 'utf8').toString('latin1'));
}

/** The characters that depend on the value alone when `offset` bytes stand before it, in both alphabets. */
function base64Forms(bytes: Buffer, offset: number): string[] {
  const encoded = Buffer.concat([Buffer.alloc(offset), bytes])
    .toString('base64')
    .replace(/=+$/, '');
  const first = Math.ceil((offset * 8) / 6);
  const last = Math.floor(((offset + bytes.length) * 8) / 6);
  const stable = encoded.slice(first, last);
  return [stable, stable.replaceAll('+', '-').replaceAll('/', '_')];
}

/** The forms in which a program could put its own run credential into a head: plain, and base64 at any offset. Longest first. */
export function tokenForms(token: string): Needles {
  const bytes = Buffer.from(token, 'latin1');
  const forms = new Set(
    [token, ...[0, 1, 2].flatMap((offset) => base64Forms(bytes, offset))].filter((form) => form.length >= shortestNeedle),
  );
  return [...forms].map((form) => Buffer.from(form, 'latin1')).sort((a, b) => b.length - a.length);
}
