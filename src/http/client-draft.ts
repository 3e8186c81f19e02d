import type { z } from 'zod';
import type { schemas } from '#api';
import type { ClientDraft, RegistrationTokenDraft } from '#issuer';

export type NewClient = z.output<typeof schemas.newClient>;

/** A client as the contract spells it, as the issuer does. */
export function clientDraft(given: NewClient): ClientDraft {
  const { name, authentication, scopes, resources, protects, jwks, signing } = given;
  return {
    name,
    authentication,
    secretHash: given.secret_sha256,
    redirectUris: given.redirect_uris,
    grantTypes: given.grant_types,
    scopes,
    resources,
    protects,
    jwks,
    signing,
    requirePushedAuthorizationRequests: given.require_pushed_authorization_requests,
    requireSignedRequestObject: given.require_signed_request_object,
    lives: given.lives,
    authorizationDetailsTypes: given.authorization_details_types,
    dpopBound: given.dpop_bound_access_tokens,
    certificateBound: given.tls_client_certificate_bound_access_tokens,
    logout: {
      redirectUris: given.post_logout_redirect_uris,
      backchannelUri: given.backchannel_logout_uri,
      backchannelSessionRequired: given.backchannel_logout_session_required,
      frontchannelUri: given.frontchannel_logout_uri,
      frontchannelSessionRequired: given.frontchannel_logout_session_required,
    },
  };
}

/** The same of a token with which clients register themselves. */
export function tokenDraft(given: z.output<typeof schemas.newRegistrationToken>): RegistrationTokenDraft {
  return { name: given.name, hash: given.token_sha256, uses: given.uses, expiresAt: given.expires_at };
}
