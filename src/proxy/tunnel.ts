import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import type { LiveRun } from '#broker';
import { Fault } from '#kernel';
import { authenticated, type Opener, refuseError, serveTunnelled } from './calls.ts';
import { ClientConnection } from './client.ts';
import { credentialOf } from './credential.ts';
import { requestFraming } from './framing.ts';
import type { RequestHead } from './head.ts';
import { Splice } from './splice.ts';
import { type Authority, connectTarget, isAddress, tunnelledTarget } from './target.ts';

const established = 'HTTP/1.1 200 Connection Established\r\n\r\n';
const alpn = ['http/1.1'];

/** Serves a CONNECT: intercept, tunnel blind, or refuse. 200 is said only when the tunnel will stand. */
export async function openTunnel(client: ClientConnection, head: RequestHead): Promise<void> {
  requestFraming(head);
  const target = connectTarget(head);
  const credential = credentialOf(head);
  const run = await authenticated(client, credential);
  const { plane } = client;
  if (plane.closing) throw new Fault('shutting_down');
  const admission = await plane.broker.admit(run, target);
  if (client.over) return;
  if (admission.kind === 'refuse') throw new Fault(admission.code, admission.hint === undefined ? {} : { hint: admission.hint });
  if (admission.kind === 'blind') return tunnelBlind(client, run, target);
  // No authority of ours ever vouches for an address (SECURITY 12).
  if (isAddress(target.host)) throw new Fault('host_refused');
  await intercept(client, target, { run, credential: credential as string });
}

async function intercept(client: ClientConnection, tunnel: Authority, opener: Opener): Promise<void> {
  const { plane, remote } = client;
  const { run } = opener;
  const secureContext = await plane.leaves.contextFor(run.organization, tunnel.host);
  if (client.over) return;
  client.wire.put(established);
  client.wire.flush();
  const socket = client.release();
  const secured = new TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: alpn });
  const inner = new ClientConnection(plane, secured, remote, guarded(secured, tunnel, opener), true);
  inner.onGone = () => plane.work.remove(run, work);
  const work = { cut: () => inner.idle && inner.abort() };
  plane.work.add(run, work);
  secured.once('secure', () => {
    inner.deadline = plane.clock.monotonic() + plane.limits.clientIdle;
  });
}

/** The name of the handshake, the target of the CONNECT and every Host agree, or the request is refused (SECURITY 6). */
function guarded(secured: TLSSocket & { servername?: string | false | null }, tunnel: Authority, opener: Opener) {
  const agrees = () => !secured.servername || secured.servername.toLowerCase().replace(/\.$/, '') === tunnel.host;
  let known = false;
  return (client: ClientConnection, head: RequestHead, bytes: Buffer) => {
    try {
      known ||= agrees();
      if (!known) throw new Fault('host_mismatch');
      serveTunnelled(client, head, bytes, tunnelledTarget(head, tunnel), opener);
    } catch (error) {
      refuseError(client, error, undefined);
    }
  };
}

async function tunnelBlind(client: ClientConnection, run: LiveRun, target: Authority): Promise<void> {
  const { plane } = client;
  const options = { timeout: plane.limits.connectTimeout };
  const upstream = await plane.net.dial(await plane.net.judge(target.host, target.port, options), options);
  const opened = await recorded(client, run, target, upstream);
  if (!opened) return;
  client.wire.put(established);
  client.wire.flush();
  new Splice(plane, client.release(), upstream, run, target).start();
}

/** The tunnel is on record before a byte passes. */
async function recorded(client: ClientConnection, run: LiveRun, target: Authority, upstream: Duplex): Promise<boolean> {
  upstream.on('error', () => {});
  try {
    if (client.over) throw new Fault('cancelled');
    await client.plane.broker.tunnel(run, target);
  } catch (error) {
    upstream.destroy();
    throw error;
  }
  if (!client.over && !upstream.destroyed) return true;
  upstream.destroy();
  await client.plane.broker.tunnel(run, target, { sent: 0, received: 0, ms: 0 });
  if (!client.over) throw new Fault('upstream_unreachable');
  return false;
}
