import { Fault } from '#kernel';

/** The parameters of a request: unknown ones are there too, and nobody asks for them (RFC 6749 §3.1). */
export interface Parameters {
  /** The value; undefined when it is absent or empty. @throws {Fault} `invalid_request` when it is there more than once */
  one(name: string): string | undefined;
  /** Every value, in order. */
  all(name: string): readonly string[];
  /** @throws {Fault} `invalid_request` when any parameter that is not repeatable is there more than once */
  refuseRepeats(): void;
  /** As received, to be read again. */
  readonly text: string;
  /** The same text without these. */
  without(names: ReadonlySet<string>): string;
}

/** Parameters that may be sent several times (RFC 8707 §2, RFC 8693 §2.1). */
const repeatable: ReadonlySet<string> = new Set(['resource', 'audience']);
const most = 100;
const longest = 64 * 1024;

/** Reads `application/x-www-form-urlencoded`, of a query or a form. @throws {Fault} `invalid_request` */
export function readParameters(text: string): Parameters {
  if (text.length > longest) throw new Fault('invalid_request', { detail: 'The parameters are too long' });
  const pairs = new URLSearchParams(text);
  if (pairs.size > most) throw new Fault('invalid_request', { detail: 'There are too many parameters' });
  const all = (name: string) => pairs.getAll(name).filter((value) => value !== '');
  const refuseRepeat = (name: string) => {
    if (!repeatable.has(name) && pairs.getAll(name).length > 1)
      throw new Fault('invalid_request', { detail: 'A parameter is there more than once' });
  };
  return Object.freeze({
    text,
    without: (names: ReadonlySet<string>) => new URLSearchParams([...pairs].filter(([name]) => !names.has(name))).toString(),
    one(name: string) {
      refuseRepeat(name);
      return all(name)[0];
    },
    all,
    refuseRepeats() {
      for (const name of pairs.keys()) refuseRepeat(name);
    },
  });
}
