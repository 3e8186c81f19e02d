import { Fault, type FaultCode } from '#kernel';
import type { IssuerDeps } from '../deps.ts';
import type { Addressed } from '../stages.ts';

/** Parameters that change what a request means and are not taken: ignoring them would give something else than was asked. */
const unbuilt: Readonly<Record<string, FaultCode>> = {
  request_uri: 'request_uri_unsupported',
};

export function refuseUnbuilt(_: IssuerDeps, asked: Addressed): Addressed {
  for (const [name, code] of Object.entries(unbuilt))
    if (asked.parameters.one(name) !== undefined) throw new Fault(code, { detail: `The parameter ${name} is not taken here` });
  return asked;
}
