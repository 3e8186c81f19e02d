/** Names that hold secrets, wherever they come from. Matched without regard to case. */
const secretNames: readonly RegExp[] = [
  /SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL/,
  /(^|_)(API|ACCESS|PRIVATE|SIGNING|ENCRYPTION|MASTER|ACCOUNT|SHARED|DEPLOY|LICENSE|SERVICE)?_?KEYS?$/,
  /(^|[_-])_?(AUTH_?)?(TOKEN|TOKENS|PAT|JWT|COOKIE|BEARER|APIKEY|AUTH)$/,
  /^(PGPASS|PGPASSWORD|MYSQL_PWD|REDISCLI_AUTH|NETRC|KUBECONFIG)$/,
];

/** AWS names that say where, not who. */
const harmlessAws =
  /^AWS_(REGION|DEFAULT_REGION|DEFAULT_OUTPUT|OUTPUT|PAGER|CA_BUNDLE|RETRY_MODE|MAX_ATTEMPTS|SDK_LOAD_CONFIG|EC2_METADATA_DISABLED|ENDPOINT_URL.*)$/;

/** Values that are secrets whatever their name: what well-known services issue, private keys, URLs with a password. */
const secretValues: readonly RegExp[] = [
  /^(sk|rk|pk_live|whsec)[-_][A-Za-z0-9_-]{16,}$/,
  /^(gh[pousr]_|github_pat_|glpat-|gldt-|xox[abeoprs]-|xapp-|npm_|pypi-|dop_v1_|shpat_|sq0|EAAA|hf_|lin_api_|ntn_|secret_|figd_|SG\.|key-)[A-Za-z0-9_.-]{16,}$/,
  /^(AKIA|ASIA)[A-Z0-9]{16}$/,
  /^AIza[A-Za-z0-9_-]{30,}$/,
  /^ya29\.[A-Za-z0-9_-]+$/,
  /^eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*$/,
  /-----BEGIN [A-Z ]*PRIVATE KEY-----/,
  /^[a-z][a-z0-9+.-]*:\/\/[^\s/@]*:[^\s/@]+@/i,
];

/** Whether a variable looks like it holds a secret, by its name or its value. */
export function isSecretVariable(name: string, value: string): boolean {
  if (value === '') return false;
  return isSecretName(name) || isSecretValue(value);
}

export function isSecretName(name: string): boolean {
  const upper = name.toUpperCase();
  if (upper.startsWith('AWS_')) return !harmlessAws.test(upper);
  return secretNames.some((shape) => shape.test(upper));
}

export function isSecretValue(value: string): boolean {
  return secretValues.some((shape) => shape.test(value.trim()));
}

/** The master key's names, ours and those that are always read as aliases of it. */
const masterKeyNames = ['GATEHOUSE_MASTER_KEY', 'AUTHSOME_MASTER_KEY'];

/** The names of variables of this environment that hold a master key. `run` must hold none (SECURITY 1). */
export function masterKeysIn(env: Readonly<Record<string, string | undefined>>): readonly string[] {
  return masterKeyNames.filter((name) => env[name] !== undefined && env[name] !== '');
}
