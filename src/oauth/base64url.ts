const shape = /^[A-Za-z0-9_-]*$/;

/** Bytes, or the UTF-8 of a text, as base64url without padding (RFC 4648 §5). */
export function encodeBase64url(value: string | Uint8Array): string {
  return Buffer.from(value).toString('base64url');
}

/**
 * The bytes, or undefined unless `text` is the one canonical form: no padding, no white space, no foreign character,
 * no stray bits at the end (RFC 7515 §2; a second spelling of one value would pass a replay mark twice).
 */
export function decodeBase64url(text: string): Uint8Array | undefined {
  if (!shape.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}
