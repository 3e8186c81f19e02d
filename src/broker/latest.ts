/**
 * A map that keeps at least the `most` entries used last, and at most twice as many. Two halves: what is read moves to the
 * young one, and when that is full the old one is forgotten. A hit changes nothing, which is what makes it fast.
 */
export class Latest<K, V> {
  #young = new Map<K, V>();
  #old = new Map<K, V>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  get(key: K): V | undefined {
    const value = this.#young.get(key);
    if (value !== undefined) return value;
    const older = this.#old.get(key);
    if (older !== undefined) this.set(key, older);
    return older;
  }

  set(key: K, value: V): void {
    if (this.#young.size >= this.#most && !this.#young.has(key)) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, value);
  }

  delete(key: K): void {
    this.#young.delete(key);
    this.#old.delete(key);
  }
}
