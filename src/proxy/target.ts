import { isIP } from 'node:net';
import { Fault } from '#kernel';
import type { Fields, RequestHead } from './head.ts';

/** A host as it is compared: lower case, an IPv6 address without brackets, no final dot. */
export interface Authority {
  readonly host: string;
  readonly port: number;
}

/** What a request asks for, taken apart but not decoded. */
export interface Target extends Authority {
  readonly scheme: 'https' | 'http';
  readonly path: string;
  readonly query: string;
  /** Path and query as they go upstream. */
  readonly origin: string;
}

const shape = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?$/;
const nameShape = /^(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*$/;
/** A last label of digits is an address in a notation that resolvers read in several ways (`0x7f.1`, `2130706433`). */
const numericShape = /(^|\.)(0x[0-9a-f]*|[0-9]+)$/;

/** Parses `host`, `host:port` or `[v6]:port`; undefined when it is none of them. */
function parseAuthority(text: string, defaultPort: number | undefined): Authority | undefined {
  const match = shape.exec(text);
  if (match === null) return undefined;
  const [, v6, name, digits] = match;
  const port = digits === undefined ? defaultPort : Number(digits);
  if (port === undefined || port < 1 || port > 65_535) return undefined;
  if (v6 !== undefined) return isIP(v6) === 6 ? { host: v6.toLowerCase(), port } : undefined;
  const lower = (name as string).toLowerCase();
  const host = lower.endsWith('.') ? lower.slice(0, -1) : lower;
  if (isIP(host) === 4) return { host, port };
  return host.length <= 253 && nameShape.test(host) && !numericShape.test(host) ? { host, port } : undefined;
}

export const isAddress = (host: string): boolean => isIP(host) !== 0;

/** The one value of Host. @throws {Fault} `bad_framing` when there are several, or none in HTTP/1.1 */
export function hostOf(head: RequestHead): string | undefined {
  const at = head.names.indexOf('host');
  if (at < 0) {
    if (head.minor === 1) throw new Fault('bad_framing', { detail: 'Host is missing' });
    return undefined;
  }
  if (head.names.indexOf('host', at + 1) >= 0) throw new Fault('bad_framing', { detail: 'more than one Host' });
  return valueAt(head, at);
}

export const valueAt = (fields: Fields, at: number): string => (fields.pairs[at] as readonly [string, string])[1];

/** The value of a field that comes at most once; undefined when absent. */
export function fieldValue(fields: Fields, name: string): string | undefined {
  const at = fields.names.indexOf(name);
  return at < 0 ? undefined : valueAt(fields, at);
}

/** All values of a field that may come in several lines, as one list (RFC 9110 §5.3); undefined when absent. */
export function fieldValues(fields: Fields, name: string): string | undefined {
  const at = fields.names.indexOf(name);
  if (at < 0 || fields.names.indexOf(name, at + 1) < 0) return at < 0 ? undefined : valueAt(fields, at);
  return fields.pairs.flatMap(([, value], i) => (fields.names[i] === name ? [value] : [])).join(',');
}

/** The authority of a CONNECT (RFC 9110 §9.3.6): host and port, both. @throws {Fault} `bad_framing` */
export function connectTarget(head: RequestHead): Authority {
  const authority = parseAuthority(head.target, undefined);
  if (authority === undefined) throw new Fault('bad_framing', { detail: 'the target of CONNECT is not host:port' });
  const host = hostOf(head);
  if (host !== undefined && !agrees(host, authority, authority.port)) throw new Fault('host_mismatch');
  return authority;
}

/** The target of a request inside a tunnel to `tunnel`. @throws {Fault} `bad_framing`, `host_mismatch` */
export function tunnelledTarget(head: RequestHead, tunnel: Authority): Target {
  const host = hostOf(head);
  if (host !== undefined && !agrees(host, tunnel, 443)) throw new Fault('host_mismatch');
  if (head.target.startsWith('/')) return split('https', tunnel, head.target);
  if (head.target === '*') return asterisk(head, 'https', tunnel);
  const target = absoluteTarget(head);
  if (target.scheme !== 'https' || target.host !== tunnel.host || target.port !== tunnel.port) throw new Fault('host_mismatch');
  return target;
}

/** The target of a request sent to the proxy itself, which must be absolute. @throws {Fault} `bad_framing`, `host_mismatch` */
export function absoluteTarget(head: RequestHead): Target {
  const match = /^(https?):\/\/([^/?]+)(.*)$/i.exec(head.target);
  if (match === null) throw new Fault('bad_framing', { detail: 'a proxy takes a CONNECT or an absolute target' });
  const scheme = (match[1] as string).toLowerCase() as 'https' | 'http';
  const defaultPort = scheme === 'https' ? 443 : 80;
  const authority = parseAuthority(match[2] as string, defaultPort);
  if (authority === undefined) throw new Fault('bad_framing', { detail: 'the host of the target is not valid' });
  const host = hostOf(head);
  if (host !== undefined && !agrees(host, authority, defaultPort)) throw new Fault('host_mismatch');
  const rest = match[3] as string;
  return split(scheme, authority, rest.startsWith('/') ? rest : `/${rest}`);
}

function agrees(text: string, authority: Authority, defaultPort: number): boolean {
  if (authority.port === defaultPort ? text === authority.host : text === `${authority.host}:${authority.port}`) return true;
  const host = parseAuthority(text, defaultPort);
  return host !== undefined && host.host === authority.host && host.port === authority.port;
}

function asterisk(head: RequestHead, scheme: 'https', authority: Authority): Target {
  if (head.method !== 'OPTIONS') throw new Fault('bad_framing', { detail: 'the target * is for OPTIONS' });
  return { scheme, host: authority.host, port: authority.port, path: '*', query: '', origin: '*' };
}

function split(scheme: 'https' | 'http', { host, port }: Authority, origin: string): Target {
  const mark = origin.indexOf('?');
  if (mark < 0) return { scheme, host, port, path: origin, query: '', origin };
  return { scheme, host, port, path: origin.slice(0, mark), query: origin.slice(mark + 1), origin };
}

/** The authority as `Host` carries it. */
export function hostText({ scheme, host, port }: Target): string {
  const bare = host.includes(':') ? `[${host}]` : host;
  return port === (scheme === 'https' ? 443 : 80) ? bare : `${bare}:${port}`;
}
