import { z } from 'zod';
import { nameSchema, patternSchema, riskClasses } from '#api';

const multiLabel = /^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;
const singleLabel = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** True for `api.example.com`, `*.example.com` and a single label such as `localhost`; never for an IP address. */
export function isHostPattern(text: string): boolean {
  return text.length <= 253 && (multiLabel.test(text) || singleLabel.test(text));
}

/**
 * A host: exact (`api.github.com`), or a suffix on a label boundary (`*.example.com`: one or more labels before it).
 * A single label (`localhost`) is for an organization's own definitions; the address guard still has to let it through.
 */
const hostSchema = z.strictObject({
  host: z.string().refine(isHostPattern, 'use a lower-case host name, or *.example.com for all names below it; no address, no pattern'),
  port: z.int().min(1).max(65535).default(443),
  /** Only paths under this prefix belong to the provider (segment boundary); absent: all. */
  path: z
    .string()
    .regex(/^(\/[A-Za-z0-9._~-]+)+$/, 'use plain segments without a slash at the end: /drive/v3')
    .max(256)
    .optional(),
  /**
   * Of a suffix: true when each name below it belongs to another customer, false when all of them are the provider's own.
   * A connection is good only for the tenant names that its owner gave. Absent counts as true.
   */
  tenant: z.boolean().optional(),
  /** Which of the `inject_on` lists of every way to authenticate applies here; absent: its `inject`. */
  inject: nameSchema.optional(),
});
export type HostEntry = z.infer<typeof hostSchema>;

const headerName = z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$/, 'use a header name');
const plainText = z
  .string()
  .max(256)
  .regex(/^[\x20-\x7e]*$/, 'use printable ASCII');
const partName = z.string().regex(/^[a-z][a-z0-9_]{0,31}$/);

/** How one part of the credential goes on the wire. `{part}` in `value` is replaced by that part of the credential. */
export const injectionSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('bearer'), part: partName.default('access_token') }),
  z.strictObject({ kind: z.literal('header'), name: headerName, prefix: plainText.default(''), part: partName.default('api_key') }),
  z.strictObject({
    kind: z.literal('basic'),
    username: plainText.default('{username}'),
    password: plainText.default('{password}'),
  }),
  z.strictObject({ kind: z.literal('query'), name: plainText.min(1), part: partName.default('api_key') }),
  z.strictObject({
    kind: z.literal('path'),
    /** Segment that is replaced, as a placeholder name: `/bot{api_key}/`. */ template: plainText,
    part: partName.default('api_key'),
  }),
  z.strictObject({ kind: z.literal('cookie'), name: headerName, part: partName.default('api_key') }),
  z.strictObject({
    kind: z.literal('placeholder'),
    /** Slots in which a placeholder of this run is replaced. */ slots: z.array(z.enum(['header', 'query', 'path', 'cookie'])),
    part: partName.default('api_key'),
  }),
]);
export type Injection = z.infer<typeof injectionSchema>;

const fieldSchema = z.strictObject({
  name: partName,
  label: z.string().min(1).max(128),
  secret: z.boolean().default(true),
  help: z.string().max(512).optional(),
  pattern: z.string().max(256).optional(),
});
export type Field = z.infer<typeof fieldSchema>;

const injectOn = z.record(nameSchema, z.array(injectionSchema)).default({});

/** A path into a JSON answer: `team.name`, `bot.owner.user.id`. */
const jsonPath = z.string().regex(/^[A-Za-z0-9_$-]+(\.[A-Za-z0-9_$-]+)*$/);
const accountPaths = { id: jsonPath.optional(), name: jsonPath.optional(), email: jsonPath.optional() };

const userinfoSchema = z.strictObject({
  url: z.url(),
  method: z.enum(['GET', 'POST']).default('GET'),
  headers: z.record(headerName, plainText).default({}),
  /** Sent as JSON. */
  body: z.string().max(1024).optional(),
  id: jsonPath,
  name: jsonPath.optional(),
  email: jsonPath.optional(),
});

const oauthSchema = z.strictObject({
  kind: z.literal('oauth2'),
  flows: z.array(z.enum(['pkce', 'device_code', 'dcr_pkce', 'client_credentials'])).min(1),
  issuer: z.url().optional(),
  authorization_endpoint: z.url().optional(),
  token_endpoint: z.url().optional(),
  /** Where refresh tokens go, if not to the token endpoint. */
  refresh_endpoint: z.url().optional(),
  device_authorization_endpoint: z.url().optional(),
  revocation_endpoint: z.url().optional(),
  registration_endpoint: z.url().optional(),
  /** Who the account is, asked with the new access token. */
  userinfo: userinfoSchema.optional(),
  /** Who the account is, where the token answer itself says so. */
  account: z.strictObject(accountPaths).optional(),
  /** Asked for when the person names none. */
  scopes: z.array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/)),
  scope_separator: z.enum([' ', ',']).default(' '),
  client_authentication: z.enum(['none', 'client_secret_basic', 'client_secret_post']).default('client_secret_post'),
  /** False only where the authorization server refuses a code challenge. */
  pkce: z.boolean().default(true),
  /** Extra parameters of the authorization request (`access_type=offline`). */
  authorization_parameters: z.record(z.string(), z.string()).default({}),
  /** How the token request is written, and extra parameters of it (`audience`). */
  token_request: z
    .strictObject({
      format: z.enum(['form', 'json']).default('form'),
      parameters: z.record(z.string(), z.string()).default({}),
      headers: z.record(headerName, plainText).default({}),
    })
    .prefault({}),
  /** The answer: form-encoded where a provider still does that; lives assumed when `expires_in` is absent, in seconds. */
  token_response: z
    .strictObject({
      format: z.enum(['json', 'form', 'either']).default('either'),
      /** The member that holds the tokens (`authed_user`); absent: the answer itself. */
      under: jsonPath.optional(),
      assumed_life: z.int().positive().optional(),
    })
    .prefault({}),
  inject: z.array(injectionSchema).min(1),
  inject_on: injectOn,
});
export type OauthAuth = z.infer<typeof oauthSchema>;

const apiKeySchema = z.strictObject({
  kind: z.literal('api_key'),
  fields: z.array(fieldSchema).min(1).max(16),
  inject: z.array(injectionSchema).min(1),
  inject_on: injectOn,
});
export type ApiKeyAuth = z.infer<typeof apiKeySchema>;

/** One way to authenticate; a provider has at most one of each kind. */
export const authSchema = z.discriminatedUnion('kind', [apiKeySchema, oauthSchema]);
export type Auth = z.infer<typeof authSchema>;

export const operationSchema = z.strictObject({
  id: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,127}$/),
  title: z.string().min(1).max(128),
  classes: z.array(z.enum(riskClasses)).min(1),
  match: z.array(patternSchema).min(1),
  /** The entries of `hosts` it is found on; absent: every entry that names no `inject` list. */
  hosts: z.array(z.string()).min(1).optional(),
});
export type Operation = z.infer<typeof operationSchema>;

/** One file of the catalogue: `providers/<id>.json`. */
export const providerSchema = z.strictObject({
  id: nameSchema,
  name: z.string().min(1).max(64),
  documentation: z.url({ protocol: /^https?$/ }),
  hosts: z.array(hostSchema).min(1).max(64),
  /** Ways to authenticate, the first is the default. */
  auth: z.array(authSchema).min(1),
  /** Variables people already use for its credential; each is exported as a placeholder. */
  variables: z.array(
    z.strictObject({
      name: z.string().regex(/^[A-Z][A-Z0-9_]{0,63}$/),
      /** Part it stands for, or a literal `value` that is no secret. */ part: partName.optional(),
      value: z.string().max(512).optional(),
    }),
  ),
  /** Slots of this host that hold credentials besides those injected; cleared before injection (SECURITY 8). */
  credential_slots: z
    .strictObject({
      headers: z.array(headerName).default([]),
      query: z.array(plainText.min(1)).default([]),
      cookies: z.array(headerName).default([]),
    })
    .prefault({}),
  /** Set when the API needs an injector that is not built: it says so and refuses to connect. */
  unsupported: z.string().max(256).optional(),
  operations: z.array(operationSchema).max(1024).default([]),
});
export type ProviderDefinition = z.infer<typeof providerSchema>;

/** A checked definition with where it came from and its digest (what a connection pins). */
export interface Provider extends ProviderDefinition {
  readonly source: 'catalogue' | 'organization';
  readonly digest: string;
}
