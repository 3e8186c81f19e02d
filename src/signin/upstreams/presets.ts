import type { UpstreamKind } from '#api';

/** What an upstream said, whatever the form: an ID token, userinfo, or the answers of an API. */
export type Claims = Readonly<Record<string, unknown>>;

/** How a person is asked for their password there once more. `max_age` promises `auth_time` (OpenID Connect Core §3.1.2.1). */
export type Reauthentication = 'max_age' | 'prompt' | 'none';

interface Common {
  /** What the button says unless the administrator names it. */
  readonly label: string;
  /** Where it is, if it is one place. */
  readonly issuer: string | undefined;
  /** What else the issuer may be: another installation, or one tenant of it. */
  readonly others: RegExp | undefined;
  /** What an administrator is told who named none, or a wrong one. */
  readonly issuerHelp: string;
  readonly scopes: readonly string[];
  /** Who it is there: unique, never given to another. */
  subject(claims: Claims): string | undefined;
  /** Whether it vouches for the address. */
  vouches(claims: Claims): boolean;
}

export interface OidcPreset extends Common {
  readonly protocol: 'oidc';
  readonly reauthentication: Reauthentication;
  readonly responseMode?: 'form_post';
  /** What the person is called, where only the answer in the browser says so. */
  nameIn?(answer: URLSearchParams): string | undefined;
}

export interface Oauth2Preset extends Common {
  readonly protocol: 'oauth2';
  endpoints(issuer: string): { readonly authorization: string; readonly token: string; readonly user: string; readonly emails: string };
}

export type Preset = OidcPreset | Oauth2Preset;

const anyHttps = /^https?:\/\/[^?#]+$/;
const openid = ['openid', 'email', 'profile'] as const;
const subOf = ({ sub }: Claims): string | undefined => textOf(sub);
/** Some write the boolean as text. */
const saysVerified = ({ email_verified: verified }: Claims): boolean => verified === true || verified === 'true';

/** Everything that is particular to a kind of upstream. */
export const presets: Readonly<Record<UpstreamKind, Preset>> = {
  oidc: {
    protocol: 'oidc',
    label: 'single sign-on',
    issuer: undefined,
    others: anyHttps,
    issuerHelp: 'give the issuer, as its discovery document names it',
    scopes: openid,
    reauthentication: 'max_age',
    subject: subOf,
    vouches: saysVerified,
  },
  apple: {
    protocol: 'oidc',
    label: 'Apple',
    issuer: 'https://appleid.apple.com',
    others: undefined,
    issuerHelp: 'leave the issuer out',
    scopes: ['openid', 'email', 'name'],
    reauthentication: 'none',
    // What it asks for where a name or an address is wanted.
    responseMode: 'form_post',
    nameIn: (answer) => appleName(answer.get('user')),
    subject: subOf,
    vouches: saysVerified,
  },
  github: {
    protocol: 'oauth2',
    label: 'GitHub',
    issuer: 'https://github.com',
    others: anyHttps,
    issuerHelp: 'give the address of your GitHub Enterprise Server, or leave it out',
    scopes: ['read:user', 'user:email'],
    endpoints(issuer) {
      const api = issuer === 'https://github.com' ? 'https://api.github.com' : `${issuer}/api/v3`;
      return {
        authorization: `${issuer}/login/oauth/authorize`,
        token: `${issuer}/login/oauth/access_token`,
        user: `${api}/user`,
        emails: `${api}/user/emails`,
      };
    },
    // The login can be given up and taken by somebody else; the number cannot.
    subject: ({ id }) => (typeof id === 'number' && Number.isSafeInteger(id) && id > 0 ? String(id) : undefined),
    vouches: saysVerified,
  },
  gitlab: {
    protocol: 'oidc',
    label: 'GitLab',
    issuer: 'https://gitlab.com',
    others: anyHttps,
    issuerHelp: 'give the address of your GitLab, or leave it out',
    scopes: openid,
    reauthentication: 'prompt',
    subject: subOf,
    vouches: saysVerified,
  },
  google: {
    protocol: 'oidc',
    label: 'Google',
    issuer: 'https://accounts.google.com',
    others: undefined,
    issuerHelp: 'leave the issuer out',
    scopes: openid,
    reauthentication: 'none',
    subject: subOf,
    // It is the authority only for its own addresses and those of its customers; any other was verified once, long ago perhaps.
    vouches: (claims) => {
      const domain = domainOf(textOf(claims.email));
      return saysVerified(claims) && (domain === 'gmail.com' || (domain !== undefined && domain === textOf(claims.hd)?.toLowerCase()));
    },
  },
  microsoft: {
    protocol: 'oidc',
    label: 'Microsoft',
    issuer: undefined,
    others: /^https:\/\/login\.microsoftonline\.com\/[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}\/v2\.0$/,
    issuerHelp: 'give one tenant: https://login.microsoftonline.com/<tenant id>/v2.0',
    scopes: openid,
    reauthentication: 'prompt',
    subject: subOf,
    // Its `email` is whatever an administrator of the tenant typed, unless the optional claim says that the domain is theirs.
    vouches: ({ xms_edov: owned }) => owned === true || owned === 1 || owned === '1' || owned === 'true',
  },
  slack: {
    protocol: 'oidc',
    label: 'Slack',
    issuer: 'https://slack.com',
    others: undefined,
    issuerHelp: 'leave the issuer out',
    scopes: openid,
    reauthentication: 'none',
    // A user's id is unique within a workspace only.
    subject: (claims) => {
      const [team, user] = [textOf(claims['https://slack.com/team_id']), textOf(claims['https://slack.com/user_id'])];
      return team === undefined || user === undefined ? undefined : `${team} ${user}`;
    },
    vouches: saysVerified,
  },
};

/** Told once, at the first sign-in, and by the browser: good for what somebody is called, and for nothing else. */
function appleName(user: string | null): string | undefined {
  try {
    const { name } = JSON.parse(user ?? '') as { readonly name?: Readonly<Record<string, unknown>> };
    return [textOf(name?.firstName), textOf(name?.lastName)].filter((part) => part !== undefined).join(' ') || undefined;
  } catch {
    return undefined;
  }
}

export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** The domain of an address, lower case. */
export function domainOf(email: string | undefined): string | undefined {
  const at = email?.lastIndexOf('@') ?? -1;
  return at < 1 ? undefined : email?.slice(at + 1).toLowerCase();
}
