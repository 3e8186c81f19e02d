/** Everything one run holds; ended in the reverse order, whatever happened. */
export interface Ending {
  add(step: () => unknown): void;
  /** Ends it all; one failure keeps no other step from its turn. */
  all(): Promise<void>;
}

export function createEnding(): Ending {
  const steps: (() => unknown)[] = [];
  return Object.freeze({
    add: (step: () => unknown) => void steps.unshift(step),
    async all() {
      const failures: unknown[] = [];
      for (const step of steps.splice(0)) {
        try {
          await step();
        } catch (error) {
          failures.push(error);
        }
      }
      if (failures.length > 0) throw failures[0];
    },
  });
}
