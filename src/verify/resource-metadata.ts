import { settingFault } from '#kernel';

/** What a resource publishes of itself (RFC 9728 §2). Absent members are left out. */
export interface ResourceMetadata {
  readonly resource: string;
  readonly issuer: string;
  readonly scopes: readonly string[];
  readonly name?: string | undefined;
  readonly documentation?: string | undefined;
  readonly dpopAlgorithms: readonly string[];
}

const wellKnown = '/.well-known/oauth-protected-resource';

/** The document that tells a client which issuer to ask for tokens (RFC 9728 §2). */
export function resourceMetadata(facts: ResourceMetadata): Readonly<Record<string, unknown>> {
  const { resource, issuer, scopes, name, documentation, dpopAlgorithms } = facts;
  return Object.freeze({
    resource,
    authorization_servers: [issuer],
    ...(scopes.length === 0 ? {} : { scopes_supported: scopes }),
    bearer_methods_supported: ['header'],
    ...(name === undefined ? {} : { resource_name: name }),
    ...(documentation === undefined ? {} : { resource_documentation: documentation }),
    dpop_signing_alg_values_supported: dpopAlgorithms,
    tls_client_certificate_bound_access_tokens: true,
  });
}

/** Where the document lies: the well-known segment between host and path (RFC 9728 §3.1). @throws {Fault} `invalid_setting` */
export function resourceMetadataUrl(resource: string): URL {
  const url = URL.canParse(resource) ? new URL(resource) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || resource.includes('#'))
    throw settingFault({ resource: 'give the URL of the resource, without a fragment' });
  const path = url.pathname === '/' ? '' : url.pathname;
  return new URL(`${url.origin}${wellKnown}${path}${url.search}`);
}
