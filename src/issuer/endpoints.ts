import type { Issuing } from './contract.ts';

/** Where everything lies below an issuer. */
export const endpointPaths = Object.freeze({
  authorize: '/authorize',
  push: '/par',
  token: '/token',
  deviceAuthorization: '/device_authorization',
  backchannel: '/backchannel-authentication',
  userinfo: '/userinfo',
  introspect: '/introspect',
  revoke: '/revoke',
  register: '/register',
  keySet: '/jwks.json',
  logout: '/logout',
  endings: '/endings',
});

export function endpointUrl({ issuer }: Issuing, endpoint: keyof typeof endpointPaths): string {
  return issuer + endpointPaths[endpoint];
}
