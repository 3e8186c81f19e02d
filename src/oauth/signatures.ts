/** Bytes of one half of a P-256 signature. */
const half = 32;

/**
 * ECDSA signatures of P-256, from DER (what OpenSSL makes) to `r || s` (RFC 7518 §3.4). Written here because asking
 * `node:crypto` for the raw form (`dsaEncoding`) doubles the cost of a signature.
 */
export function rawFromDer(der: Uint8Array): Uint8Array {
  const raw = new Uint8Array(2 * half);
  let at = 2;
  for (const part of [0, 1]) {
    const length = der[at + 1] as number;
    const value = der.subarray(at + 2, at + 2 + length);
    const trimmed = value.length > half ? value.subarray(value.length - half) : value;
    raw.set(trimmed, (part + 1) * half - trimmed.length);
    at += 2 + length;
  }
  return raw;
}

/** The DER form of `r || s`, or undefined when it has not 64 bytes. */
export function derFromRaw(raw: Uint8Array): Uint8Array | undefined {
  if (raw.length !== 2 * half) return undefined;
  const r = integer(raw.subarray(0, half));
  const s = integer(raw.subarray(half));
  return Uint8Array.from([0x30, r.length + s.length, ...r, ...s]);
}

/** A positive DER INTEGER in its shortest form. */
function integer(bytes: Uint8Array): number[] {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const value = [...bytes.subarray(start)];
  if ((value[0] as number) >= 0x80) value.unshift(0);
  return [0x02, value.length, ...value];
}
