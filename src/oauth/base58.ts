const alphabet = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
const values = new Map([...alphabet].map((letter, value) => [letter, value]));

/** Bytes in base58btc, each leading zero byte as a `1`. */
export function encodeBase58(bytes: Uint8Array): string {
  const digits: number[] = [];
  for (const byte of bytes) carryInto(digits, byte, 256, 58);
  return (
    '1'.repeat(leading(bytes, 0)) +
    digits
      .reverse()
      .map((digit) => alphabet.charAt(digit))
      .join('')
  );
}

/** The bytes of a base58btc text, or undefined when a character is foreign. Quadratic: bound the length first. */
export function decodeBase58(text: string): Uint8Array | undefined {
  const bytes: number[] = [];
  const digits: number[] = [];
  for (const letter of text) {
    const digit = values.get(letter);
    if (digit === undefined) return undefined;
    digits.push(digit);
    carryInto(bytes, digit, 58, 256);
  }
  return Uint8Array.from([...new Array<number>(leading(digits, 0)).fill(0), ...bytes.reverse()]);
}

/** `digits` (lowest first, base `to`) times `from` plus `value`. */
function carryInto(digits: number[], value: number, from: number, to: number): void {
  let carry = value;
  for (let i = 0; i < digits.length; i++) {
    carry += (digits[i] as number) * from;
    digits[i] = carry % to;
    carry = Math.floor(carry / to);
  }
  while (carry > 0) {
    digits.push(carry % to);
    carry = Math.floor(carry / to);
  }
}

function leading(values: ArrayLike<number>, wanted: number): number {
  let count = 0;
  while (count < values.length && values[count] === wanted) count++;
  return count;
}
