import { z } from 'zod';
import { nameSchema, patternSchema, riskClasses } from '#api';

/** A host: exact (`api.github.com`), or a suffix on a label boundary (`*.example.com`: one or more labels before it). */
const hostSchema = z.strictObject({
  host: z.string().regex(/^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$/),
  port: z.int().min(1).max(65535).default(443),
  /** Only paths under this prefix belong to the provider (segment boundary); absent: all. */
  path: z
    .string()
    .regex(/^\/[^?#]*$/)
    .optional(),
});

/** How one part of the credential goes on the wire. `{part}` in `value` is replaced by that part of the credential. */
export const injectionSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('bearer'), part: z.string().default('access_token') }),
  z.strictObject({ kind: z.literal('header'), name: z.string(), prefix: z.string().default(''), part: z.string().default('api_key') }),
  z.strictObject({ kind: z.literal('basic'), username: z.string().default('{username}'), password: z.string().default('{password}') }),
  z.strictObject({ kind: z.literal('query'), name: z.string(), part: z.string().default('api_key') }),
  z.strictObject({
    kind: z.literal('path'),
    /** Segment that is replaced, as a placeholder name: `/bot{api_key}/`. */ template: z.string(),
    part: z.string().default('api_key'),
  }),
  z.strictObject({ kind: z.literal('cookie'), name: z.string(), part: z.string().default('api_key') }),
  z.strictObject({
    kind: z.literal('placeholder'),
    /** Slots in which a placeholder of this run is replaced. */ slots: z.array(z.enum(['header', 'query', 'path', 'cookie'])),
    part: z.string().default('api_key'),
  }),
]);
export type Injection = z.infer<typeof injectionSchema>;

const fieldSchema = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9_]{0,31}$/),
  label: z.string(),
  secret: z.boolean().default(true),
  help: z.string().optional(),
  pattern: z.string().optional(),
});

export const authSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('api_key'), fields: z.array(fieldSchema).min(1), inject: z.array(injectionSchema).min(1) }),
  z.strictObject({
    kind: z.literal('oauth2'),
    flows: z.array(z.enum(['pkce', 'device_code', 'dcr_pkce', 'client_credentials'])).min(1),
    issuer: z.url().optional(),
    authorization_endpoint: z.url().optional(),
    token_endpoint: z.url().optional(),
    device_authorization_endpoint: z.url().optional(),
    revocation_endpoint: z.url().optional(),
    registration_endpoint: z.url().optional(),
    userinfo: z.strictObject({ url: z.url(), id: z.string(), name: z.string().optional(), email: z.string().optional() }).optional(),
    scopes: z.array(z.string()),
    scope_separator: z.enum([' ', ',']).default(' '),
    client_authentication: z.enum(['none', 'client_secret_basic', 'client_secret_post']).default('client_secret_post'),
    /** Extra parameters of the authorization request (`access_type=offline`). */
    authorization_parameters: z.record(z.string(), z.string()).default({}),
    /** The answer: form-encoded where a provider still does that; lives assumed when `expires_in` is absent, in seconds. */
    token_response: z
      .strictObject({ format: z.enum(['json', 'form', 'either']).default('either'), assumed_life: z.int().positive().optional() })
      .prefault({}),
    inject: z.array(injectionSchema).min(1),
  }),
]);
export type Auth = z.infer<typeof authSchema>;

export const operationSchema = z.strictObject({
  id: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,127}$/),
  title: z.string(),
  classes: z.array(z.enum(riskClasses)).min(1),
  match: z.array(patternSchema).min(1),
});
export type Operation = z.infer<typeof operationSchema>;

/** One file of the catalogue: `providers/<id>.json`. */
export const providerSchema = z.strictObject({
  id: nameSchema,
  name: z.string().min(1).max(64),
  documentation: z.url(),
  hosts: z.array(hostSchema).min(1),
  /** Ways to authenticate, the first is the default. */
  auth: z.array(authSchema).min(1),
  /** Variables people already use for its credential; each is exported as a placeholder. */
  variables: z.array(
    z.strictObject({
      name: z.string().regex(/^[A-Z][A-Z0-9_]{0,63}$/),
      /** Part it stands for, or a literal `value` that is no secret. */ part: z.string().optional(),
      value: z.string().optional(),
    }),
  ),
  /** Slots of this host that hold credentials besides those injected; cleared before injection (RULES 8). */
  credential_slots: z
    .strictObject({
      headers: z.array(z.string()).default([]),
      query: z.array(z.string()).default([]),
      cookies: z.array(z.string()).default([]),
    })
    .prefault({}),
  /** Set when the API needs an injector that is not built: it says so and refuses to connect. */
  unsupported: z.string().optional(),
  operations: z.array(operationSchema).default([]),
});
export type ProviderDefinition = z.infer<typeof providerSchema>;

/** A checked definition with where it came from and its digest (what a connection pins). */
export interface Provider extends ProviderDefinition {
  readonly source: 'catalogue' | 'organization';
  readonly digest: string;
}
