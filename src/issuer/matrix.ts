import type { TokenAnswer } from './contract.ts';
import { type Addressed, type Authenticated, type Parsed, type Pipeline, type Prompted, pipeline, type Scoped } from './stages.ts';
import { allowFor, allowGrantType } from './steps/allow-grant-type.ts';
import { answerRevocation, answerTokenState } from './steps/answer-token-state.ts';
import { authenticateClient } from './steps/authenticate-client.ts';
import { checkPkce } from './steps/check-pkce.ts';
import { checkPrompt } from './steps/check-prompt.ts';
import { checkResources } from './steps/check-resources.ts';
import { checkResponseType } from './steps/check-response-type.ts';
import { checkScopes } from './steps/check-scopes.ts';
import { findClient } from './steps/find-client.ts';
import { redeem } from './steps/redeem.ts';
import { refuseRepeats } from './steps/refuse-repeats.ts';
import { refuseUnbuilt } from './steps/refuse-unbuilt.ts';

/** Every step of every endpoint, in order. */
export const matrix = {
  /** Before this has ended, nothing may be redirected. */
  redirect: pipeline(findClient),
  authorize: pipeline((_, input: Addressed) => refuseRepeats(input))
    .step(refuseUnbuilt)
    .step(checkResponseType)
    .step(checkPkce)
    .step(checkResources)
    .step(checkScopes)
    .step(checkPrompt),
  token: pipeline((_, input: Parsed) => refuseRepeats(input))
    .step(authenticateClient)
    .step(allowGrantType)
    .step(redeem),
  deviceAuthorization: pipeline((_, input: Parsed) => refuseRepeats(input))
    .step(authenticateClient)
    .step(allowFor('urn:ietf:params:oauth:grant-type:device_code'))
    .step(checkResources)
    .step(checkScopes),
  introspect: pipeline((_, input: Parsed) => refuseRepeats(input))
    .step(authenticateClient)
    .step(answerTokenState),
  revoke: pipeline((_, input: Parsed) => refuseRepeats(input))
    .step(authenticateClient)
    .step(answerRevocation),
} as const satisfies {
  redirect: Pipeline<Parsed, Addressed>;
  authorize: Pipeline<Addressed, Prompted>;
  token: Pipeline<Parsed, TokenAnswer>;
  deviceAuthorization: Pipeline<Parsed, Scoped<Authenticated>>;
  introspect: Pipeline<Parsed, Readonly<Record<string, unknown>>>;
  revoke: Pipeline<Parsed, void>;
};
