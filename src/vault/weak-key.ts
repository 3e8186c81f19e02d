/** Why a master key must not be used where others can reach the server; undefined: nothing speaks against it. */
export function weaknessOf(key: Uint8Array): string | undefined {
  if (repeats(key)) return 'repeats itself';
  if (counts(key)) return 'is a sequence';
  if (isTyped(key)) return 'is readable text, not random bytes';
  if (new Set(key).size < fewestDistinct) return 'has too few different bytes';
  return undefined;
}

/** 32 random bytes have about 30 different ones; under 20 does not happen by chance. */
const fewestDistinct = 20;

function repeats(key: Uint8Array): boolean {
  for (let period = 1; period <= key.length / 2; period++) {
    if (key.every((byte, index) => index < period || byte === key[index - period])) return true;
  }
  return false;
}

/** `00 01 02 …`, `ff fe fd …`, `11 22 33 …`: one step from byte to byte. */
function counts(key: Uint8Array): boolean {
  const step = ((key[1] ?? 0) - (key[0] ?? 0)) & 0xff;
  return key.every((byte, index) => index === 0 || ((byte - (key[index - 1] ?? 0)) & 0xff) === step);
}

function isTyped(key: Uint8Array): boolean {
  return key.every((byte) => byte >= 0x20 && byte < 0x7f);
}
