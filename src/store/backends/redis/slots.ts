export const slotCount = 16_384;

/** CRC-16/XMODEM, by which Redis Cluster spreads keys (Redis Cluster specification, "Key distribution model"). */
function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc;
}

/** The slot of a key. What stands in the first braces, if anything, counts alone. */
export function slotOf(key: string): number {
  const tag = /^[^{]*\{([^}]+)\}/s.exec(key)?.[1];
  return crc16(Buffer.from(tag ?? key)) % slotCount;
}
