import { Fault } from '#kernel';
import type { DialOptions } from './contract.ts';

/** Waits for `work`, but no longer than `timeout` and not after the signal. @throws {Fault} `upstream_timeout`, `cancelled` */
export function within<T>(options: DialOptions, work: () => Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    if (options.signal?.aborted) {
      reject(new Fault('cancelled'));
      return;
    }
    const cancel = () => reject(new Fault('cancelled'));
    const timer = setTimeout(() => reject(new Fault('upstream_timeout')), options.timeout);
    options.signal?.addEventListener('abort', cancel, { once: true });
    work()
      .then(resolve, reject)
      .finally(() => {
        clearTimeout(timer);
        options.signal?.removeEventListener('abort', cancel);
      });
  });
}
