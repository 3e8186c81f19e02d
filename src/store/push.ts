/**
 * A way to tell other processes at once that something changed. It decides nothing and carries nothing: whoever hears looks
 * into the database, and what is never heard is found by polling.
 */
export interface Push {
  /** Tells every other process. Never fails; what cannot be told now is lost. */
  announce(): void;
  /** Calls `heard` when another process announced something, and when announcements may have been missed. Called once. */
  listen(heard: () => void): void;
  close(): Promise<void>;
}

/** Several ways as one. */
export function joinPush(ways: readonly Push[]): Push {
  return Object.freeze({
    announce() {
      for (const way of ways) way.announce();
    },
    listen(heard: () => void) {
      for (const way of ways) way.listen(heard);
    },
    async close() {
      await Promise.all(ways.map((way) => way.close()));
    },
  });
}

/** Sends one at a time: whatever is announced while one is under way is told by one more. Failures are the way's own to tell. */
export function oneAtATime(send: () => Promise<unknown>): () => void {
  let sending = false;
  let again = false;
  return function announce(): void {
    if (sending) {
      again = true;
      return;
    }
    sending = true;
    const ended = () => {
      sending = false;
      if (again) announce();
    };
    again = false;
    send().then(ended, ended);
  };
}
