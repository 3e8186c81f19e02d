/**
 * Work that came in one turn of the event loop goes on together, after all of it was read: its code and data then stay
 * in the processor's caches, which is worth more than the wait.
 */
export class Turns {
  #next: Promise<void> | undefined;

  /** Resolves when everything that has arrived is read. */
  next(): Promise<void> {
    this.#next ??= new Promise((resolve) => {
      setImmediate(() => {
        this.#next = undefined;
        resolve();
      });
    });
    return this.#next;
  }
}
