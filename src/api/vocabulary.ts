import { z } from 'zod';

/** Risk classes of operations. `mint-credential` is implied by no other class and denied by default. */
export const riskClasses = ['read', 'write', 'delete', 'message-a-person', 'move-money', 'administer', 'mint-credential'] as const;
export type RiskClass = (typeof riskClasses)[number];

/** Names in keys: providers, connections, vaults, agents. */
export const nameShape = /^[a-z0-9][a-z0-9._-]{0,63}$/;
export const nameSchema = z.string().regex(nameShape, 'use 1 to 64 of a-z, 0-9, dot, dash and underscore, starting with a letter or digit');

/** Methods (empty: any) and a path: literal segments, `*` for one segment, a last `**` for the rest (also none). */
export const patternSchema = z.strictObject({
  methods: z.array(z.string().regex(/^[A-Z]{1,20}$/)).max(16),
  path: z
    .string()
    .regex(/^\/[^?#]*$/)
    .max(512),
});
export type Pattern = z.infer<typeof patternSchema>;

/** How far a permission reaches: any of its parts. `everything` is the whole host, and still not `mint-credential`. */
export const reachSchema = z.strictObject({
  classes: z.array(z.enum(riskClasses)).max(7),
  operations: z.array(z.string().min(1).max(128)).max(256),
  patterns: z.array(patternSchema).max(256),
  everything: z.boolean(),
});
export type Reach = z.infer<typeof reachSchema>;

/** Kinds of upstream identity providers: any OpenID provider, or one that is known by name. */
export const upstreamKinds = ['oidc', 'apple', 'github', 'gitlab', 'google', 'microsoft', 'slack'] as const;
export type UpstreamKind = (typeof upstreamKinds)[number];

/** Grant types of our authorization server. */
export const grantTypeNames = [
  'authorization_code',
  'refresh_token',
  'client_credentials',
  'urn:ietf:params:oauth:grant-type:device_code',
  'urn:ietf:params:oauth:grant-type:token-exchange',
  'urn:openid:params:grant-type:ciba',
  'urn:ietf:params:oauth:grant-type:jwt-bearer',
] as const;
export type GrantTypeName = (typeof grantTypeNames)[number];

/** Ways in which a client proves to it who it is. */
export const clientAuthenticationNames = [
  'none',
  'client_secret_basic',
  'client_secret_post',
  'private_key_jwt',
  'self_signed_tls_client_auth',
] as const;
export type ClientAuthenticationName = (typeof clientAuthenticationNames)[number];

/** Forms in which a resource takes its access tokens. */
export const tokenFormatNames = ['jwt', 'opaque'] as const;
export type TokenFormatName = (typeof tokenFormatNames)[number];
