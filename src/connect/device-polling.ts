import type { FlowId, OrganizationId } from '#kernel';
import type { Flow } from './contract.ts';
import type { ConnectDeps } from './deps.ts';
import { pollDevice } from './device-flow.ts';
import { flowOf, loadFlow } from './flow-record.ts';
import type { Providers } from './providers.ts';

type Deps = ConnectDeps & { readonly providers: Providers };

const tick = 5_000;

/**
 * Device flows are polled whenever somebody looks at them, and by the process that began them until they end. How often
 * the provider is asked is decided by the flow's own interval, not here.
 */
export function createDevicePolling(deps: Deps) {
  const timers = new Map<FlowId, NodeJS.Timeout>();

  function stop(id: FlowId): void {
    clearInterval(timers.get(id));
    timers.delete(id);
  }

  async function poll(organization: OrganizationId, id: FlowId): Promise<void> {
    const record = await loadFlow(deps, organization, id);
    if (record === undefined || record.row.kind !== 'device_code') return;
    if (flowOf(deps, record).state.kind === 'device') await pollDevice(deps, record);
    else stop(id);
  }

  return Object.freeze({
    poll,
    watch({ id, organization, state }: Flow): void {
      if (state.kind !== 'device') return;
      const timer = setInterval(() => {
        poll(organization, id).catch((cause: unknown) =>
          deps.log.warn('a device flow could not be polled', { flow: id, cause: String(cause) }),
        );
      }, tick);
      timers.set(id, timer.unref());
    },
    close(): void {
      for (const id of timers.keys()) stop(id);
    },
  });
}
