const longestKey = 512;
const longestValue = 65_536;

/** @throws {RangeError} unless 1 to 512 bytes of well-formed UTF-8 */
export function checkKey(key: string): void {
  if (key === '') throw new RangeError('a key is not empty');
  if (tooLong(key, longestKey)) throw new RangeError(`a key has at most ${longestKey} bytes`);
  if (!key.isWellFormed()) throw new RangeError('a key is well-formed Unicode');
}

/** @throws {RangeError} unless at most 64 KiB of well-formed UTF-8 */
export function checkValue(value: string): void {
  if (tooLong(value, longestValue)) throw new RangeError(`a value has at most ${longestValue} bytes`);
  if (!value.isWellFormed()) throw new RangeError('a value is well-formed Unicode');
}

/** @throws {RangeError} unless a positive integer of milliseconds */
export function checkTtl(ttl: number): void {
  if (!Number.isSafeInteger(ttl) || ttl <= 0) throw new RangeError('a life is a positive integer of milliseconds');
}

/** @throws {RangeError} unless an integer from 0 */
export function checkVersion(expected: number): void {
  if (!Number.isSafeInteger(expected) || expected < 0) throw new RangeError('a version is an integer from 0');
}

/** @throws {RangeError} unless a positive integer */
export function checkPageLimit(limit: number): void {
  if (!Number.isSafeInteger(limit) || limit < 1) throw new RangeError('a page has at least one key');
}

/** What a verb that sets a value is given. @throws {RangeError} */
export function checkEntry(key: string, value: string, ttl: number): void {
  checkKey(key);
  checkValue(value);
  checkTtl(ttl);
}

/** UTF-8 has one to three bytes for each UTF-16 unit, so most strings need no counting. */
function tooLong(text: string, limit: number): boolean {
  if (text.length * 3 <= limit) return false;
  return text.length > limit || Buffer.byteLength(text) > limit;
}
