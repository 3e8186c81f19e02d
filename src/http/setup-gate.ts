import { Fault } from '#kernel';
import type { Signin } from '#signin';
import type { Incoming } from './incoming.ts';

/** Until the first administrator exists only health, the set-up page and its link answer (SECURITY 23). */
export interface SetupGate {
  /** @throws {Fault} `setup_required` */
  pass(request: Incoming): Promise<void>;
}

const open: readonly RegExp[] = [/^\/health(\/live|\/ready)?$/, /^\/setup$/, /^\/assets\/[a-z0-9.]+$/];

export function createSetupGate(signin: Pick<Signin, 'setupState'>): SetupGate {
  return Object.freeze({
    async pass(request: Incoming) {
      const path = request.url.split('?', 1)[0] ?? '';
      if (open.some((shape) => shape.test(path))) return;
      if (request.local && path === '/v1/setup-link') return;
      if ((await signin.setupState()) === 'open') throw new Fault('setup_required');
    },
  });
}
