import { clientAuthenticationNames, grantTypeNames } from '#api';
import { dpopAlgorithms, tokenAlgorithmNames } from '#oauth';
import { contextNames } from './authentication-contexts.ts';
import { assertionAlgorithms } from './client-authentication.ts';
import type { Issuing, Resource } from './contract.ts';
import { endpointPaths } from './endpoints.ts';
import { requestObjectAlgorithms } from './request-objects.ts';
import { responseModes } from './responses.ts';
import { ownScopes } from './scopes.ts';
import { prompts } from './stages.ts';

/** What an issuer offers beside what every one does. */
interface Offered {
  readonly resources: ReadonlyMap<string, Resource>;
  readonly detailsTypes: ReadonlyMap<string, unknown>;
  /** Certificates of clients reach this server. */
  readonly certificates: boolean;
}

/**
 * RFC 8414 §2 and OpenID Connect Discovery §3 in one document: what works at this issuer, and nothing else. Of registered resources
 * those that every client may ask for are told (RFC 9728 §4); the others are nobody's business.
 */
export function metadataOf(
  { issuer, registration }: Issuing,
  { resources, detailsTypes, certificates }: Offered,
): Readonly<Record<string, unknown>> {
  const open = [...resources.values()].filter((resource) => resource.open);
  const ways = clientAuthenticationNames.filter((name) => certificates || name !== 'self_signed_tls_client_auth');
  const proving = ways.filter((name) => name !== 'none');
  return {
    issuer,
    ...forPeople(issuer, open),
    token_endpoint: issuer + endpointPaths.token,
    jwks_uri: issuer + endpointPaths.keySet,
    token_endings_uri: issuer + endpointPaths.endings,
    introspection_endpoint: issuer + endpointPaths.introspect,
    introspection_signing_alg_values_supported: tokenAlgorithmNames,
    revocation_endpoint: issuer + endpointPaths.revoke,
    ...(registration === 'off'
      ? {}
      : { registration_endpoint: issuer + endpointPaths.register, client_id_metadata_document_supported: true }),
    grant_types_supported: grantTypeNames,
    token_endpoint_auth_methods_supported: ways,
    token_endpoint_auth_signing_alg_values_supported: assertionAlgorithms,
    introspection_endpoint_auth_methods_supported: proving,
    introspection_endpoint_auth_signing_alg_values_supported: assertionAlgorithms,
    revocation_endpoint_auth_methods_supported: ways,
    revocation_endpoint_auth_signing_alg_values_supported: assertionAlgorithms,
    dpop_signing_alg_values_supported: dpopAlgorithms,
    ...(detailsTypes.size === 0 ? {} : { authorization_details_types_supported: [...detailsTypes.keys()] }),
    ...(certificates ? { tls_client_certificate_bound_access_tokens: true } : {}),
    ...(open.length === 0 ? {} : { protected_resources: open.map(({ identifier }) => identifier) }),
  };
}

function forPeople(issuer: string, open: readonly Resource[]): Readonly<Record<string, unknown>> {
  return {
    authorization_endpoint: issuer + endpointPaths.authorize,
    pushed_authorization_request_endpoint: issuer + endpointPaths.push,
    end_session_endpoint: issuer + endpointPaths.logout,
    backchannel_logout_supported: true,
    backchannel_logout_session_supported: true,
    frontchannel_logout_supported: true,
    frontchannel_logout_session_supported: true,
    userinfo_endpoint: issuer + endpointPaths.userinfo,
    scopes_supported: [...new Set([...Object.keys(ownScopes), ...open.flatMap(({ scopes }) => scopes.map(({ name }) => name))])],
    device_authorization_endpoint: issuer + endpointPaths.deviceAuthorization,
    backchannel_authentication_endpoint: issuer + endpointPaths.backchannel,
    backchannel_token_delivery_modes_supported: ['poll'],
    backchannel_user_code_parameter_supported: false,
    response_types_supported: ['code'],
    response_modes_supported: responseModes,
    code_challenge_methods_supported: ['S256'],
    authorization_response_iss_parameter_supported: true,
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: tokenAlgorithmNames,
    claims_supported: ['iss', 'sub', 'aud', 'exp', 'iat', 'auth_time', 'acr', 'amr', 'nonce', 'at_hash', 'sid', 'name', 'email'],
    acr_values_supported: contextNames,
    ui_locales_supported: ['en'],
    prompt_values_supported: prompts,
    claims_parameter_supported: true,
    request_parameter_supported: true,
    request_object_signing_alg_values_supported: requestObjectAlgorithms,
    request_uri_parameter_supported: false,
  };
}
