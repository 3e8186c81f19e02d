import { Fault } from '#kernel';

/**
 * Strict HTTP/1.1 heads (RFC 9112 §2-5). One reading or none: whatever two parsers could read in two ways is refused.
 */
export interface Fields {
  /** Name as received, value without surrounding white space. Bytes above 127 are one character each (latin1). */
  readonly pairs: readonly (readonly [string, string])[];
  /** The lower-case name of each pair. */
  readonly names: readonly string[];
}

export interface RequestHead extends Fields {
  readonly method: string;
  readonly target: string;
  readonly minor: 0 | 1;
}

export interface ResponseHead extends Fields {
  readonly status: number;
  readonly reason: string;
  readonly minor: 0 | 1;
}

export interface HeadLimits {
  readonly headBytes: number;
  readonly headerCount: number;
}

const cr = 13;
const lf = 10;
const space = 32;
const tab = 9;
const colon = 58;
const slash = 47;
/** RFC 9112 §3.2: everything but origin-form. A host is letters, digits, dots, hyphens, or an address in brackets. */
const connectTarget = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]*)?$/;
const absoluteTarget = /^(\*$|https?:\/\/(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]+)?([/?]|$))/i;

function table(allowed: (code: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, code) => (allowed(code) ? 1 : 0));
}

const tokenCharacters = "!#$%&'*+-.^_`|~";
const isAlphanumeric = (code: number) => (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122);
/** RFC 9110 §5.6.2. */
export const tokenTable = table((code) => isAlphanumeric(code) || (code < 128 && tokenCharacters.includes(String.fromCharCode(code))));
/** RFC 9110 §5.5: visible characters, space, tab and obs-text. */
const valueTable = table((code) => code === tab || (code >= space && code !== 127));
/** Upper case only: `get` is another method than `GET`, and some upstreams do not know that. */
const methodTable = table((code) => (code >= 65 && code <= 90) || code === 45 || code === 95);
/** Visible ASCII but the fragment sign and the backslash, which URL parsers read as a slash. */
const targetTable = table((code) => code > space && code < 127 && code !== 35 && code !== 92);

const headEnd = Buffer.from('\r\n\r\n');

function refuse(detail: string): never {
  throw new Fault('bad_framing', { detail });
}

/** Where the head ends (index after its last line feed), or -1 when it is not complete. `from` skips what was searched before. */
export function findHeadEnd(bytes: Buffer, from = 0): number {
  const at = bytes.indexOf(headEnd, Math.max(0, from - 3));
  return at < 0 ? -1 : at + 4;
}

/**
 * Judges a head that is not complete yet, so that what can never become one is refused at once rather than after a
 * timeout. @throws {Fault} `bad_framing`
 */
export function judgeIncomplete(bytes: Buffer, limits: HeadLimits): void {
  if (bytes.length > limits.headBytes) refuse('the head is too large');
  const first = bytes[0];
  if (first !== undefined && tokenTable[first] === 0) refuse('the first byte cannot begin a message');
  for (let at = bytes.indexOf(lf); at >= 0; at = bytes.indexOf(lf, at + 1)) {
    if (bytes[at - 1] !== cr) refuse('a bare line feed');
  }
}

/** Parses `bytes[0, end)`, which ends with an empty line. @throws {Fault} `bad_framing` */
export function parseRequestHead(bytes: Buffer, end: number, limits: HeadLimits): RequestHead {
  if (end > limits.headBytes) refuse('the head is too large');
  const text = bytes.toString('latin1', 0, end);
  let at = run(bytes, 0, methodTable);
  if (at === 0 || at > 32 || bytes[at] !== space) refuse('the method is not valid');
  const method = text.slice(0, at);
  const targetStart = at + 1;
  at = run(bytes, targetStart, targetTable);
  if (at === targetStart || bytes[at] !== space) refuse('the request target is not valid');
  const target = text.slice(targetStart, at);
  if (!(target.charCodeAt(0) === slash || (method === 'CONNECT' ? connectTarget : absoluteTarget).test(target))) {
    refuse('the request target is not valid');
  }
  const minor = parseVersion(text, at + 1);
  at += 9;
  if (bytes[at] !== cr || bytes[at + 1] !== lf) refuse('the request line does not end after the version');
  const pairs: (readonly [string, string])[] = [];
  const names: string[] = [];
  parseFields(bytes, text, at + 2, end - 2, limits.headerCount, pairs, names);
  return { method, target, minor, pairs, names };
}

/** Parses `bytes[0, end)`, which ends with an empty line. @throws {Fault} `bad_framing` */
export function parseResponseHead(bytes: Buffer, end: number, limits: HeadLimits): ResponseHead {
  if (end > limits.headBytes) refuse('the head is too large');
  const text = bytes.toString('latin1', 0, end);
  const minor = parseVersion(text, 0);
  if (bytes[8] !== space) refuse('the status line is not valid');
  const status = parseStatus(bytes);
  let at = 12;
  let reason = '';
  if (bytes[at] === space) {
    at = run(bytes, 13, valueTable);
    reason = text.slice(13, at);
  }
  if (bytes[at] !== cr || bytes[at + 1] !== lf) refuse('the status line is not valid');
  const pairs: (readonly [string, string])[] = [];
  const names: string[] = [];
  parseFields(bytes, text, at + 2, end - 2, limits.headerCount, pairs, names);
  return { status, reason, minor, pairs, names };
}

/** Parses the fields of `bytes[from, end)`, where `end` is after the last field's line feed. @throws {Fault} `bad_framing` */
export function parseTrailerFields(bytes: Buffer, from: number, end: number, limits: HeadLimits): Fields {
  const pairs: (readonly [string, string])[] = [];
  const names: string[] = [];
  parseFields(bytes, bytes.toString('latin1', 0, end), from, end, limits.headerCount, pairs, names);
  return { pairs, names };
}

function run(bytes: Buffer, from: number, allowed: Uint8Array): number {
  let at = from;
  while (allowed[bytes[at] as number] === 1) at++;
  return at;
}

function parseVersion(text: string, at: number): 0 | 1 {
  if (text.startsWith('HTTP/1.1', at)) return 1;
  if (text.startsWith('HTTP/1.0', at)) return 0;
  return refuse('the version is not HTTP/1.1');
}

function parseStatus(bytes: Buffer): number {
  const hundreds = (bytes[9] as number) - 48;
  const tens = (bytes[10] as number) - 48;
  const ones = (bytes[11] as number) - 48;
  if (!(hundreds >= 1 && hundreds <= 9 && tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9)) refuse('the status is not three digits');
  return hundreds * 100 + tens * 10 + ones;
}

function parseFields(
  bytes: Buffer,
  text: string,
  from: number,
  end: number,
  count: number,
  pairs: (readonly [string, string])[],
  names: string[],
): void {
  let at = from;
  while (at < end) {
    const nameStart = at;
    at = run(bytes, at, tokenTable);
    if (at === nameStart || bytes[at] !== colon) refuseName(bytes, nameStart, at);
    const name = text.slice(nameStart, at);
    at++;
    while (bytes[at] === space || bytes[at] === tab) at++;
    const valueStart = at;
    at = run(bytes, at, valueTable);
    if (bytes[at] !== cr || bytes[at + 1] !== lf) refuse('a control character or a bare line end in a header value');
    let valueEnd = at;
    while (valueEnd > valueStart && (bytes[valueEnd - 1] === space || bytes[valueEnd - 1] === tab)) valueEnd--;
    if (pairs.length === count) refuse('too many header fields');
    const lower = name.toLowerCase();
    if (valueEnd < at && (lower === 'transfer-encoding' || lower === 'content-length')) refuse('white space after a framing value');
    pairs.push([name, text.slice(valueStart, valueEnd)]);
    names.push(lower);
    at += 2;
  }
}

function refuseName(bytes: Buffer, nameStart: number, at: number): never {
  if (at === nameStart && (bytes[at] === space || bytes[at] === tab)) refuse('obsolete line folding');
  if (bytes[at] === space || bytes[at] === tab) refuse('white space before the colon of a header');
  return refuse('a header name is not valid');
}
