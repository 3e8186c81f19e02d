import type { PushedAnswer, TokenAnswer } from './contract.ts';
import {
  type Addressed,
  type Authenticated,
  type Detailed,
  type Parsed,
  type Pipeline,
  pipeline,
  type Requested,
  type Scoped,
} from './stages.ts';
import { allowFor, allowGrantType } from './steps/allow-grant-type.ts';
import { answerRevocation, answerTokenState } from './steps/answer-token-state.ts';
import { authenticateClient } from './steps/authenticate-client.ts';
import { bindRequest } from './steps/bind-request.ts';
import { bindSender } from './steps/bind-sender.ts';
import { checkDelivery } from './steps/check-delivery.ts';
import { checkDetails } from './steps/check-details.ts';
import { checkDpopKey } from './steps/check-dpop-key.ts';
import { checkPerson } from './steps/check-person.ts';
import { checkPkce } from './steps/check-pkce.ts';
import { checkPrompt } from './steps/check-prompt.ts';
import { checkProof } from './steps/check-proof.ts';
import { checkRedirect } from './steps/check-redirect.ts';
import { checkResources } from './steps/check-resources.ts';
import { checkResponseMode } from './steps/check-response-mode.ts';
import { checkResponseType } from './steps/check-response-type.ts';
import { checkScopes } from './steps/check-scopes.ts';
import { nameClient } from './steps/name-client.ts';
import { openRequestObject } from './steps/open-request-object.ts';
import { beginPush, endPush } from './steps/push-request.ts';
import { redeem } from './steps/redeem.ts';
import { refuseDetails, takeNoDetails } from './steps/refuse-details.ts';
import { refuseRepeats } from './steps/refuse-repeats.ts';
import { refuseUnbuilt } from './steps/refuse-unbuilt.ts';
import { signTokenState } from './steps/sign-token-state.ts';
import { takePushedRequest } from './steps/take-pushed-request.ts';

/** Every check of an authorization request, wherever it came from. */
const authorize = pipeline((_, input: Addressed) => refuseRepeats(input))
  .step(refuseUnbuilt)
  .step(checkResponseMode)
  .step(checkDelivery)
  .step(checkResponseType)
  .step(checkPkce)
  .step(checkDpopKey)
  .step(checkResources)
  .step(checkScopes)
  .step(checkPrompt)
  .step(checkPerson)
  .step(checkDetails);

/** Every step of every endpoint, in order. */
export const matrix = {
  /** What the browser brings, and what its client asks for by it. */
  request: pipeline(nameClient).step(takePushedRequest).step(openRequestObject),
  /** Before this has ended, nothing may be redirected. */
  redirect: pipeline((deps, input: Requested) => checkRedirect(deps, input)),
  authorize,
  push: pipeline((_, input: Parsed & { readonly address: string }) => refuseRepeats(input))
    .step(checkProof('push'))
    .step((deps, input) => authenticateClient(deps, input, { meets: true }))
    .step(beginPush)
    .step(openRequestObject)
    .step(bindRequest)
    .step(checkRedirect)
    .step(async (deps, input) => ({ ...(await authorize.run(deps, input)), ...input }))
    .step(endPush),
  token: pipeline((_, input: Parsed) => refuseRepeats(input))
    .step(checkProof('token'))
    .step(authenticateClient)
    .step(bindSender)
    .step(allowGrantType)
    .step(refuseDetails)
    .step(redeem),
  deviceAuthorization: pipeline((_, input: Parsed) => refuseRepeats(input))
    .step(authenticateClient)
    .step(allowFor('urn:ietf:params:oauth:grant-type:device_code'))
    .step(takeNoDetails)
    .step(checkResources)
    .step(checkScopes),
  backchannel: pipeline((_, input: Parsed) => refuseRepeats(input))
    .step(authenticateClient)
    .step(allowFor('urn:openid:params:grant-type:ciba'))
    .step(takeNoDetails)
    .step(checkResources)
    .step(checkScopes),
  introspect: pipeline((_, input: Parsed) => refuseRepeats(input))
    .step(authenticateClient)
    .step(answerTokenState),
  introspectSigned: pipeline((_, input: Parsed) => refuseRepeats(input))
    .step(authenticateClient)
    .step(signTokenState),
  revoke: pipeline((_, input: Parsed) => refuseRepeats(input))
    .step(authenticateClient)
    .step(answerRevocation),
} as const satisfies {
  request: Pipeline<Parsed, Requested>;
  redirect: Pipeline<Requested, Addressed>;
  authorize: Pipeline<Addressed, Detailed>;
  push: Pipeline<Parsed & { readonly address: string }, PushedAnswer>;
  token: Pipeline<Parsed, TokenAnswer>;
  deviceAuthorization: Pipeline<Parsed, Scoped<Authenticated>>;
  backchannel: Pipeline<Parsed, Scoped<Authenticated>>;
  introspect: Pipeline<Parsed, Readonly<Record<string, unknown>>>;
  introspectSigned: Pipeline<Parsed, string>;
  revoke: Pipeline<Parsed, void>;
};
