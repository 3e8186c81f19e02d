import type { GrantTypeName } from '#api';
import type { TokenAnswer } from '../contract.ts';
import type { IssuerDeps } from '../deps.ts';
import type { Allowed } from '../stages.ts';
import { authorizationCode } from './authorization-code.ts';
import { ciba } from './ciba.ts';
import { clientCredentials } from './client-credentials.ts';
import { deviceCode } from './device-code.ts';
import { jwtBearer } from './jwt-bearer.ts';
import { refreshToken } from './refresh-token.ts';
import { tokenExchange } from './token-exchange.ts';

/** One grant type, after the client has proved who it is and may use it. */
export interface GrantType {
  /** It gives a refresh token to a client that is registered for those. */
  readonly refreshes: boolean;
  /** It is for clients that can prove who they are. */
  readonly proven?: true;
  redeem(deps: IssuerDeps, asked: Allowed): Promise<TokenAnswer>;
}

/** The only list of grant types. */
export const grantTypes: Readonly<Record<GrantTypeName, GrantType>> = {
  authorization_code: authorizationCode,
  refresh_token: refreshToken,
  client_credentials: clientCredentials,
  'urn:ietf:params:oauth:grant-type:device_code': deviceCode,
  'urn:ietf:params:oauth:grant-type:token-exchange': tokenExchange,
  'urn:openid:params:grant-type:ciba': ciba,
  'urn:ietf:params:oauth:grant-type:jwt-bearer': jwtBearer,
};
