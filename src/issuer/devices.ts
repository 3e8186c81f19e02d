import { parseDeviceUserCode } from '#oauth';
import type { Devices, Issuing, ProtocolRequest } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { answerDevice, offerDeviceCode, typeDeviceCode, viewDevice } from './device-codes.ts';
import { matrix } from './matrix.ts';
import type { Parsed } from './stages.ts';

/** Devices, and the people they wait for (RFC 8628). */
export function createDevices(deps: IssuerDeps, parsed: (at: Issuing, request: ProtocolRequest) => Parsed): Devices {
  return Object.freeze({
    authorize: async (at, request, address) =>
      offerDeviceCode(deps, await matrix.deviceAuthorization.run(deps, parsed(at, request)), address),
    isCode: (typed) => parseDeviceUserCode(typed) !== undefined,
    type: (at, session, typed, address) => typeDeviceCode(deps, at, session, { typed, address }),
    view: (session, transaction) => viewDevice(deps, session, transaction),
    answer: (at, session, transaction, yes) => answerDevice(deps, at, session, transaction, yes),
  } satisfies Devices);
}
