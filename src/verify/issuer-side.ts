import type { Clock } from '#kernel';
import { Fault, settingFault, silentLog } from '#kernel';
import { createNet } from '#net';
import type { VerifierOptions } from './contract.ts';

/** The issuer as it is reached from here. */
export interface IssuerSide {
  /** Its metadata, once it was read. @throws {Fault} when it cannot be reached, or is of another issuer */
  metadata(): Promise<IssuerMetadata>;
  /** A JSON object from below the issuer. @throws {Fault} `upstream_invalid`, and as `net.fetch` */
  json(url: string, request?: Asked): Promise<Readonly<Record<string, unknown>>>;
  close(): Promise<void>;
}

/** Addresses of the issuer, as they are reached from here. */
export interface IssuerMetadata {
  readonly keySet: string;
  readonly endings: string;
  readonly introspection: string;
}

interface Asked {
  readonly form?: string;
  readonly authorization?: string;
  readonly timeout?: number;
}

const usualTimeout = 5_000;
const longestAnswer = 1 << 20;
const loopback = new Set(['localhost', '127.0.0.1', '[::1]']);

/** @throws {Fault} `invalid_setting` for an address that nothing may rest on */
export function createIssuerSide(options: VerifierOptions, clock: Clock): IssuerSide {
  const { issuer } = options;
  checkIssuer(issuer);
  const base = (options.url ?? issuer).replace(/\/+$/, '');
  const where = addressOf(base, options.allowInsecureHttp === true);
  const opening = { host: where.hostname, port: Number(where.port || (where.protocol === 'https:' ? 443 : 80)) };
  // The operator of this resource named the address, so it may be a private one.
  const allowPrivate = ['0.0.0.0/0', '::/0'].map((cidr) => ({ ...opening, cidr }));
  const extraAuthorities = options.ca === undefined ? {} : { [where.hostname]: options.ca };
  const net = createNet({ allowPrivate, clock, log: silentLog, extraAuthorities });
  let known: Promise<IssuerMetadata> | undefined;

  async function json(url: string, { form, authorization, timeout = usualTimeout }: Asked = {}) {
    const answer = await net.fetch(url, {
      ...(form === undefined ? {} : { method: 'POST', body: form }),
      headers: {
        accept: 'application/json',
        ...(form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
        ...(authorization === undefined ? {} : { authorization }),
      },
      timeout,
      limit: longestAnswer,
      allowHttp: true,
    });
    if (answer.status !== 200) throw new Fault('upstream_invalid', { detail: `The issuer answered ${answer.status}` });
    return objectOf(answer.body);
  }

  async function discover(): Promise<IssuerMetadata> {
    const document = await json(`${base}/.well-known/openid-configuration`);
    if (document.issuer !== issuer) throw new Fault('upstream_invalid', { detail: 'The metadata is of another issuer' });
    const reached = (name: string) => reachedFrom(document[name], issuer, base);
    return { keySet: reached('jwks_uri'), endings: reached('token_endings_uri'), introspection: reached('introspection_endpoint') };
  }

  return Object.freeze({
    metadata() {
      known ??= discover().catch((cause: unknown) => {
        known = undefined;
        throw cause;
      });
      return known;
    },
    json,
    close: () => net.close(),
  });
}

/** What lies below the issuer, below the address by which it is reached. */
function reachedFrom(url: unknown, issuer: string, base: string): string {
  if (typeof url !== 'string' || !url.startsWith(`${issuer}/`))
    throw new Fault('upstream_invalid', { detail: 'The issuer is not a Gatehouse: its metadata lacks an address below itself' });
  return base + url.slice(issuer.length);
}

function checkIssuer(issuer: string): void {
  const { search, hash, href } = addressOf(issuer, true);
  if (search !== '' || hash !== '' || (issuer !== href && `${issuer}/` !== href))
    throw settingFault({ issuer: 'give the issuer exactly as its metadata names it' });
}

function addressOf(text: string, insecure: boolean): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) throw settingFault({ issuer: 'give an https URL' });
  if (url.protocol === 'http:' && !insecure && !loopback.has(url.hostname))
    throw settingFault({ url: 'plain http to another machine can be forged: give an https URL, or set allowInsecureHttp' });
  return url;
}

function objectOf(body: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new Fault('upstream_invalid', { detail: 'The issuer answered something that is not a JSON object' });
}
