import { randomBytes } from 'node:crypto';

/** Every kind of public id: its prefix, and what it names. */
export const idPrefixes = {
  org: 'organization',
  usr: 'user',
  agt: 'agent',
  vlt: 'vault',
  con: 'connection',
  prm: 'permission',
  run: 'run',
  evt: 'event',
  ses: 'session',
  ups: 'upstream identity provider',
  sim: 'way to sign in',
  job: 'job',
  cnf: 'confirmation',
  flw: 'flow',
  dky: 'data key',
  clt: 'client',
  sct: 'client secret',
  rgt: 'registration token',
  grt: 'grant',
  inv: 'invitation',
  cst: 'consent',
  sky: 'signing key',
  rsc: 'resource',
  bcr: 'request to a person',
  tri: 'trusted issuer',
  req: 'request',
} as const;

export type IdPrefix = keyof typeof idPrefixes;

declare const brand: unique symbol;

/** A public id: `agt_` and 26 lower-case Crockford characters (48-bit milliseconds, 80 random bits). Sorts by time. */
export type Id<P extends IdPrefix> = string & { readonly [brand]: P };

export type OrganizationId = Id<'org'>;
export type UserId = Id<'usr'>;
export type AgentId = Id<'agt'>;
export type VaultId = Id<'vlt'>;
export type ConnectionId = Id<'con'>;
export type PermissionId = Id<'prm'>;
export type RunId = Id<'run'>;
export type EventId = Id<'evt'>;
export type SessionId = Id<'ses'>;
export type UpstreamId = Id<'ups'>;
export type SignInMethodId = Id<'sim'>;
export type JobId = Id<'job'>;
export type ConfirmationId = Id<'cnf'>;
export type FlowId = Id<'flw'>;
export type DataKeyId = Id<'dky'>;
/** A client whose id is the URL of the document that describes it. */
export type ClientUrl = string & { readonly [brand]: 'client URL' };
export type ClientId = Id<'clt'> | ClientUrl;
export type ClientSecretId = Id<'sct'>;
export type RegistrationTokenId = Id<'rgt'>;
export type GrantId = Id<'grt'>;
export type InvitationId = Id<'inv'>;
export type ConsentId = Id<'cst'>;
export type SigningKeyId = Id<'sky'>;
export type ResourceId = Id<'rsc'>;
export type BackchannelRequestId = Id<'bcr'>;
export type TrustedIssuerId = Id<'tri'>;
export type RequestId = Id<'req'>;

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
const shape = /^[a-z]{3}_[0-7][0-9a-hjkmnp-tv-z]{25}$/;

/** Makes a new id. `now` is in milliseconds; ids made later sort later (to the millisecond). */
export function newId<P extends IdPrefix>(prefix: P, now: number = Date.now()): Id<P> {
  return `${prefix}_${encodeTime(now)}${encodeRandom(tenRandomBytes())}` as Id<P>;
}

/** Random bytes are fetched many at a time: one call to the system's generator costs more than all the rest of an id. */
let pool = Buffer.alloc(0);
let used = 0;

function tenRandomBytes(): Uint8Array {
  if (used + 10 > pool.length) {
    pool = randomBytes(2560);
    used = 0;
  }
  used += 10;
  return pool.subarray(used - 10, used);
}

/** True if `text` has the shape of an id with this prefix. */
export function isId<P extends IdPrefix>(prefix: P, text: string): text is Id<P> {
  return text.startsWith(prefix) && shape.test(text);
}

/** The id, or undefined when `text` does not have its shape. */
export function parseId<P extends IdPrefix>(prefix: P, text: string): Id<P> | undefined {
  return isId(prefix, text) ? text : undefined;
}

let encodedAt = -1;
let encoded = '';

/** Many ids are made within one millisecond. */
function encodeTime(now: number): string {
  if (now === encodedAt) return encoded;
  let rest = now;
  let text = '';
  for (let i = 0; i < 10; i++) {
    text = alphabet.charAt(rest % 32) + text;
    rest = Math.floor(rest / 32);
  }
  encodedAt = now;
  encoded = text;
  return text;
}

/** 80 bits as 16 characters of 5 bits. */
function encodeRandom(bytes: Uint8Array): string {
  let text = '';
  let buffer = 0;
  let bits = 0;
  for (const byte of bytes) {
    buffer = (buffer << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += alphabet.charAt((buffer >> bits) & 31);
    }
    buffer &= (1 << bits) - 1;
  }
  return text;
}
