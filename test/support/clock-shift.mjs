// Loaded before a program of a test (`NODE_OPTIONS=--import=…`): its wall clock is wrong by so many milliseconds.
const shift = Number(process.env.CLOCK_SHIFT ?? 0);
const Right = Date;

globalThis.Date = class extends Right {
  constructor(...given) {
    if (given.length === 0) super(Right.now() + shift);
    else super(...given);
  }

  static now() {
    return Right.now() + shift;
  }
};
