import type { Allowed, Exchange as Report } from '#broker';
import type { FaultCode } from '#kernel';
import type { Plane } from './plane.ts';

type Step = Report['steps'][number];

/** What is counted of one exchange, and its report: exactly one for each verdict. */
export class Ledger {
  status = 0;
  sent = 0;
  received = 0;
  scrubbed = 0;
  readonly #plane: Plane;
  #steps: Step[] = [];
  #reported = false;

  constructor(plane: Plane) {
    this.#plane = plane;
  }

  step(step: Step['step']): void {
    this.#steps.push({ step, ms: this.#plane.clock.monotonic() });
  }

  report(verdict: Allowed, outcome: Report['outcome'], code: FaultCode | undefined): void {
    if (this.#reported) return;
    this.#reported = true;
    this.step('finished');
    const { status, sent, received, scrubbed } = this;
    const report = { verdict, status, outcome, sent, received, scrubbed, steps: this.#steps };
    try {
      this.#plane.broker.report(code === undefined ? report : { ...report, code });
    } catch (error) {
      this.#plane.log.error('an exchange could not be reported', { exchange: verdict.exchange, cause: error });
    }
  }

  /** A renewed verdict has a report of its own. */
  reopen(): void {
    this.#reported = false;
    this.#steps = [];
    this.status = 0;
    this.sent = 0;
    this.received = 0;
    this.scrubbed = 0;
  }
}
