import { authenticated, decideAndMake, judge, refuseError } from './calls.ts';
import type { ClientConnection } from './client.ts';
import { credentialOf } from './credential.ts';
import type { RequestHead } from './head.ts';
import { absoluteTarget } from './target.ts';
import { openTunnel } from './tunnel.ts';

/** Serves a request that came to the listener itself: a CONNECT, or an absolute target. */
export function serveFront(client: ClientConnection, head: RequestHead, bytes: Buffer): void {
  frontRequest(client, head, bytes).catch((error: unknown) => refuseError(client, error, undefined));
}

async function frontRequest(client: ClientConnection, head: RequestHead, bytes: Buffer): Promise<void> {
  if (head.method === 'CONNECT') return openTunnel(client, head);
  const target = absoluteTarget(head);
  const credential = credentialOf(head);
  const ask = judge(client.plane, head, target, bytes, credential ?? '');
  const run = await authenticated(client, credential);
  await decideAndMake(client, ask, run);
}
