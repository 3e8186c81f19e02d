import { isIPv6 } from 'node:net';
import type { Settings } from './settings.ts';

/** Whether a database URL names files of this machine instead of a server. */
export function isFileDatabase(url: string): boolean {
  return /^sqlite:/i.test(url);
}

/** Loopback names and addresses. */
export function isLoopback(host: string): boolean {
  const name = host
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '');
  if (name === 'localhost' || name.endsWith('.localhost')) return true;
  if (isIPv6(name)) return name === '::1' || /^::ffff:127\./.test(name);
  return /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(name);
}

/**
 * The production rules turn on by themselves with a non-loopback bind or public URL, or a database other than SQLite;
 * only `--dev` on loopback turns them off, and `GATEHOUSE_ENV` can only add.
 */
export function productionRules(settings: Settings, dev: boolean): boolean {
  const outward = !isLoopback(settings.host) || (settings.publicUrl !== undefined && !isLoopback(new URL(settings.publicUrl).hostname));
  const served = settings.databaseUrl !== undefined && !isFileDatabase(settings.databaseUrl);
  if (outward || served) return true;
  return settings.environment === 'production' && !dev;
}

const passwordInUrl = /^[a-z+]+:\/\/[^/@:]*:[^/@]+@/;

/** What the production rules refuse, as sentences by variable. Empty: nothing. */
export function productionProblems(settings: Settings): Readonly<Record<string, string>> {
  const problems: Record<string, string> = {};
  if (settings.ephemera === 'memory') problems.GATEHOUSE_EPHEMERA = 'memory forgets at every restart; write sql';
  if (settings.redisUrl !== undefined && settings.redisPassword === undefined && !passwordInUrl.test(settings.redisUrl))
    problems.GATEHOUSE_REDIS_PASSWORD =
      'Redis without authentication is refused; give a password, and its user with GATEHOUSE_REDIS_USERNAME';
  if (settings.publicUrl === undefined) problems.GATEHOUSE_PUBLIC_URL = 'give the https URL that people reach the server by';
  else if (!settings.publicUrl.startsWith('https://'))
    problems.GATEHOUSE_PUBLIC_URL = 'give an https URL; end TLS here (GATEHOUSE_TLS_CERT) or at a balancer';
  if (settings.clientRegistration === 'open')
    problems.GATEHOUSE_CLIENT_REGISTRATION = 'open lets anybody register clients; write token, or leave it out';
  return problems;
}
