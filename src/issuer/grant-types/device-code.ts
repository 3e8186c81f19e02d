import { Fault, Secret } from '#kernel';
import { sha256 } from '#store';
import type { TokenAnswer } from '../contract.ts';
import type { IssuerDeps } from '../deps.ts';
import { answerKey, type DeviceAnswer, type DeviceRequest, deviceRequest, requestKey } from '../device-codes.ts';
import { lives } from '../lives.ts';
import { beginGrantFrom, refuseReplay, type SingleUse } from '../new-grant.ts';
import { keepPace } from '../pace.ts';
import type { Allowed } from '../stages.ts';
import type { GrantType } from './index.ts';

/** A device asks whether its person has answered (RFC 8628 §3.4, §3.5). One poll gets the tokens. */
export const deviceCode: GrantType = {
  refreshes: true,
  async redeem(deps, asked) {
    const text = asked.parameters.one('device_code');
    if (text === undefined) throw new Fault('invalid_request', { detail: 'The parameter device_code is missing' });
    const once = { kind: 'device_code', value: new Secret(text) };
    const device = sha256(text);
    const request = await deviceRequest(deps, device);
    if (request === undefined) return refuseReplay(deps, asked.at.organization.id, once);
    if (request.organization !== asked.at.organization.id || request.client !== asked.client.id) throw new Fault('grant_invalid');
    if (request.expiresAt <= deps.clock.now()) throw new Fault('request_expired');
    await keepPace(deps, device, lives.longestDeviceCode);
    const answer = await deps.ephemera.take(answerKey(device));
    if (answer === undefined) throw new Fault('authorization_pending');
    await deps.ephemera.take(requestKey(device));
    return collect(deps, asked, { once, request, answer: JSON.parse(answer) as DeviceAnswer });
  },
};

interface Collected {
  readonly once: SingleUse;
  readonly request: DeviceRequest;
  readonly answer: DeviceAnswer;
}

function collect(deps: IssuerDeps, asked: Allowed, { once, request, answer }: Collected): Promise<TokenAnswer> {
  if (answer.kind === 'no') throw new Fault('consent_refused');
  const { organization, client, scopes, resources } = request;
  const { user, epochs, authenticatedAt, methods } = answer;
  const facts = { methods };
  return beginGrantFrom(deps, asked, once, { granted: { organization, client, user, scopes, resources, epochs, authenticatedAt, facts } });
}
