import type { Parsed } from '../stages.ts';

/** No parameter comes twice (OAuth 2.1 §3.1, §3.2). */
export function refuseRepeats<S extends Parsed>(asked: S): S {
  asked.parameters.refuseRepeats();
  return asked;
}
