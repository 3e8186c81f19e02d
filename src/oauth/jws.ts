import type { KeyObject } from 'node:crypto';
import type { Algorithm } from './algorithms.ts';
import { decodeBase64url, encodeBase64url } from './base64url.ts';
import type { VerificationKey } from './jwk.ts';

/** A compact JWS that was read but not yet believed. */
export interface ParsedJws {
  readonly header: Readonly<Record<string, unknown>>;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
}

/** Longest compact JWS that is read, in characters. */
const longest = 8192;
/** Everything a header may hold; so `crit`, `b64`, `zip`, `jwk`, `jku`, `x5u` and `x5c` are refused by absence. */
const known = new Set(['alg', 'typ', 'kid']);
const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads a compact JWS whose payload is a JSON object (RFC 7515 §7.1), or undefined: too long, not three canonical
 * base64url parts, another `typ`, no `alg` or `none`, or a header member that is not understood.
 */
export function parseJws(text: string, typ: string): ParsedJws | undefined {
  if (text.length > longest) return undefined;
  const parts = text.split('.');
  if (parts.length !== 3) return undefined;
  const [head, body, mark] = parts as [string, string, string];
  const header = jsonObject(head);
  const payload = jsonObject(body);
  const signature = decodeBase64url(mark);
  if (header === undefined || payload === undefined || signature === undefined) return undefined;
  if (!acceptable(header, typ)) return undefined;
  return { header, payload, signed: Buffer.from(`${head}.${body}`, 'latin1'), signature };
}

/** Whether `jws` was signed by this key with this key's one algorithm; what the header claims cannot change it. */
export function jwsHolds(jws: ParsedJws, key: VerificationKey): boolean {
  return jws.header.alg === key.algorithm.name && key.algorithm.verify(key.key, jws.signed, jws.signature);
}

/** Signs a JSON object as a compact JWS. */
export function signJws(
  key: { readonly algorithm: Algorithm; readonly privateKey: KeyObject },
  typ: string,
  payload: Readonly<Record<string, unknown>>,
): string {
  const head = encodeBase64url(JSON.stringify({ alg: key.algorithm.name, typ }));
  const signed = `${head}.${encodeBase64url(JSON.stringify(payload))}`;
  return `${signed}.${encodeBase64url(key.algorithm.sign(key.privateKey, Buffer.from(signed, 'latin1')))}`;
}

function acceptable(header: Readonly<Record<string, unknown>>, typ: string): boolean {
  if (typeof header.alg !== 'string' || header.alg.toLowerCase() === 'none') return false;
  return header.typ === typ && Object.keys(header).every((name) => known.has(name));
}

function jsonObject(part: string): Readonly<Record<string, unknown>> | undefined {
  const bytes = decodeBase64url(part);
  if (bytes === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(utf8.decode(bytes));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
