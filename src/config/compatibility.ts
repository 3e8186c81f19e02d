import type { Alias, Compatibility } from './settings.ts';

/** Names of the systems people come from that have no setting here yet. Each leaves this list as its setting comes. */
const notYet: readonly Alias[] = [
  ...under('authos', [
    'JWT_PRIVATE_KEY_BASE64',
    'JWT_PUBLIC_KEY_BASE64',
    'JWT_KID',
    'JWT_EXPIRATION_HOURS',
    'STRIPE_SECRET_KEY',
    'STRIPE_WEBHOOK_SECRET',
  ]),
  ...under('quint', [
    'AUTH_APP_TOKEN_TTL_DAYS',
    'AUTH_BEARER_TOKEN_TTL_DAYS',
    'AUTH_AGENT_TOKEN_TTL_HOURS',
    'AUTH_SUBAGENT_TOKEN_TTL_HOURS',
    'AUTH_SESSION_TOKEN_TTL_MINUTES',
    'AUTH_OVERRIDE_TOKEN_TTL_MINUTES',
  ]),
];

function under(system: Compatibility, names: readonly string[]): readonly Alias[] {
  return names.map((name) => ({ name, with: system }));
}

/** Of these names, those that a system people come from gives a meaning, which this version does not. `known`: aliases that are read. */
export function unsupported(names: readonly string[], compat: string | undefined, known: ReadonlySet<string>): readonly string[] {
  const listed = new Set(notYet.filter((alias) => alias.with === compat).map(({ name }) => name));
  const read = (name: string) => known.has(name) || known.has(name.replace(/_FILE$/, ''));
  return names.filter((name) => listed.has(name) || (name.startsWith('AUTHSOME_') && !read(name)));
}

const linkNames = [
  /^GATEHOUSE(_[A-Z0-9_]+)?_SERVICE_HOST$/,
  /^GATEHOUSE(_[A-Z0-9_]+)?_SERVICE_PORT(_[A-Z0-9_]+)?$/,
  /^GATEHOUSE(_[A-Z0-9_]+)?_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/,
];

/**
 * Whether Kubernetes set this variable: for a service of our name, or whose name begins with it, it sets some to every
 * container (kubernetes.io/docs/concepts/services-networking/service, environment variables).
 */
export function isServiceLink(name: string, value: string | undefined): boolean {
  if (linkNames.some((shape) => shape.test(name))) return true;
  return /_PORT$/.test(name) && /^(tcp|udp|sctp):\/\/[0-9a-f.:[\]]+$/i.test(value ?? '');
}
