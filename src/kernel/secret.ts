import { inspect } from 'node:util';

const printed = '[secret]';

/**
 * A value that must not be printed. Every way of turning it into text gives `[secret]`;
 * `reveal()` is the only way out, and a test lists its call sites.
 */
export class Secret<T = string> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  reveal(): T {
    return this.#value;
  }

  toString(): string {
    return printed;
  }

  toJSON(): string {
    return printed;
  }

  [Symbol.toPrimitive](): string {
    return printed;
  }

  [inspect.custom](): string {
    return printed;
  }
}
