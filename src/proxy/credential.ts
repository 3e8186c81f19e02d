import { Fault } from '#kernel';
import type { RequestHead } from './head.ts';
import { valueAt } from './target.ts';

/**
 * The run credential of `Proxy-Authorization`: Bearer, or Basic with the credential as password or as user name (the
 * other one may hold anything shorter). Undefined when the field is absent. @throws {Fault} `proxy_unauthenticated`
 */
export function credentialOf(head: RequestHead): string | undefined {
  const at = head.names.indexOf('proxy-authorization');
  if (at < 0) return undefined;
  if (head.names.indexOf('proxy-authorization', at + 1) >= 0) throw new Fault('proxy_unauthenticated');
  const credential = parse(valueAt(head, at));
  if (credential === undefined || credential === '') throw new Fault('proxy_unauthenticated');
  return credential;
}

function parse(value: string): string | undefined {
  const match = /^(basic|bearer) +([A-Za-z0-9._~+/=-]+)$/i.exec(value);
  if (match === null || value.length > 2_048) return undefined;
  const token = match[2] as string;
  if ((match[1] as string).toLowerCase() === 'bearer') return token;
  const pair = Buffer.from(token, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  if (colon < 0) return pair;
  const [user, password] = [pair.slice(0, colon), pair.slice(colon + 1)];
  return password.length >= user.length ? password : user;
}
