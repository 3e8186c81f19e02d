import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { type DetailedPeerCertificate, connect as tlsConnect } from 'node:tls';
import { isLoopback } from '#config';
import { Fault, isFault, Secret } from '#kernel';
import { askYes, showLink, type WaitOptions, waitUntil } from './asking.ts';
import type { Context } from './context.ts';
import { pemBlocks } from './run/bundle.ts';
import { remoteServer, type Server } from './server.ts';

export interface SignInFlags extends WaitOptions {
  readonly ca?: string;
  readonly fingerprint?: string;
}

/** Signs the command line in to a remote server by a code typed in the browser, and pins the server with its authority (SECURITY 25). */
export async function signInTo(context: Context, given: string, flags: SignInFlags): Promise<undefined> {
  const url = originOf(given);
  const ca = await authorityFor(context, url, flags);
  const at = (session?: Secret<string>, issuer = url) => remoteServer(context, { url, issuer, ca, session, user: undefined });
  const label = `${userInfo().username}@${hostname()}`.slice(0, 255);
  const offer = await at().anyone.call('command_line_offer', { body: { label } });
  showLink(context, `sign in to ${url}: type the code ${offer.user_code} here:`, offer.url, flags.open);
  const collected = await waitUntil(context, 'waiting for you', () => collect(at(), offer.device_code), Math.max(1, offer.interval) * 1000);
  const session = new Secret(collected.session);
  const who = await at(session).person.call('whoami');
  await context.pinned().pin({ url, issuer: who.organization.issuer, ca, session, user: collected.user });
  if (context.speech.json) context.speech.value({ url, issuer: who.organization.issuer, user: collected.user });
  else context.speech.fact(`signed in to ${url} as ${who.user?.email ?? collected.user}; make an agent there next: gatehouse init`);
  return undefined;
}

/** @throws {Fault} `invalid_usage` for anything but an https origin (plain http: loopback only) */
function originOf(given: string): string {
  if (!URL.canParse(given)) throw new Fault('invalid_usage', { hint: 'give a URL such as https://gatehouse.example.com' });
  const url = new URL(given);
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    throw new Fault('invalid_usage', { hint: 'leave everything but scheme, host and port out' });
  if (url.protocol !== 'https:' && !isLoopback(url.hostname))
    throw new Fault('invalid_usage', { hint: 'use https; plain http goes to loopback only' });
  return url.origin + url.pathname.replace(/\/+$/, '');
}

async function collect(server: Server, deviceCode: string) {
  try {
    const answer = await server.anyone.ask('command_line_collect', { body: { device_code: deviceCode } });
    return answer.status === 200 ? answer.body : undefined;
  } catch (error) {
    if (isFault(error, 'rate_limited')) return undefined;
    throw error;
  }
}

/** The authority to pin: the file named, none when the system's vouch for it, else the one it shows, once a person agreed. */
async function authorityFor(context: Context, url: string, flags: SignInFlags): Promise<string | undefined> {
  if (!url.startsWith('https:')) return undefined;
  if (flags.ca !== undefined) return pemFile(flags.ca);
  const seen = await lookAt(url);
  if (seen.trusted) return undefined;
  const shown = `${seen.subject}, SHA-256 ${seen.fingerprint}`;
  if (flags.fingerprint !== undefined) {
    if (plain(flags.fingerprint) !== plain(seen.fingerprint)) throw untrusted('The authority has another fingerprint than the one named');
    return seen.pem;
  }
  if (!context.speech.terminal) throw untrusted(`The server's authority is not known here: ${shown}`);
  context.speech.note(`no authority known here vouches for ${url}; it shows: ${shown}`);
  if (!(await askYes(context, 'did you get this fingerprint from whoever runs the server?'))) throw new Fault('cancelled');
  return seen.pem;
}

const plain = (fingerprint: string) => fingerprint.replaceAll(/[^0-9a-f]/gi, '').toLowerCase();

function untrusted(detail: string): Fault {
  return new Fault('upstream_certificate_untrusted', {
    detail,
    hint: 'name its authority with --ca FILE, or its fingerprint with --fingerprint',
  });
}

function pemFile(path: string): string {
  try {
    const blocks = pemBlocks(readFileSync(path, 'utf8'));
    if (blocks.length > 0) return `${blocks.join('\n')}\n`;
  } catch {
    // Said below: a file that cannot be read and one without a certificate are the same slip.
  }
  throw new Fault('invalid_usage', { hint: '--ca takes a PEM file with a certificate' });
}

interface Seen {
  readonly trusted: boolean;
  readonly subject: string;
  readonly fingerprint: string;
  readonly pem: string;
}

/** Shakes hands without sending anything, and looks at the uppermost certificate of the chain. */
function lookAt(url: string): Promise<Seen> {
  const { hostname: name, port } = new URL(url);
  const host = name.replace(/^\[|\]$/g, '');
  return new Promise((resolve, reject) => {
    const socket = tlsConnect({
      host,
      port: Number(port || 443),
      servername: /[a-z]/i.test(host) && !host.includes(':') ? host : '',
      rejectUnauthorized: false,
      timeout: 15_000,
    });
    const fail = (cause?: Error) => {
      socket.destroy();
      reject(new Fault('server_unreachable', { cause }));
    };
    socket.once('error', fail);
    socket.once('timeout', () => fail());
    socket.once('secureConnect', () => {
      const top = uppermost(socket.getPeerCertificate(true));
      const certificate = new X509Certificate(top.raw);
      resolve({
        trusted: socket.authorized,
        subject: certificate.subject.replaceAll('\n', ', '),
        fingerprint: certificate.fingerprint256,
        pem: certificate.toString(),
      });
      socket.destroy();
    });
  });
}

function uppermost(certificate: DetailedPeerCertificate): DetailedPeerCertificate {
  let top = certificate;
  while (top.issuerCertificate !== undefined && top.issuerCertificate.fingerprint256 !== top.fingerprint256) top = top.issuerCertificate;
  return top;
}
