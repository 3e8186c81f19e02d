import type { IncomingMessage, ServerResponse } from 'node:http';

interface Batch {
  readonly operation: 'upload' | 'download';
  readonly objects: readonly { readonly oid: string; readonly size: number }[];
}

type Route = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void;

/** The large files of a git server, by Git LFS's batch API and its basic transfer, for paths `…/info/lfs/…`. */
export function lfsStore(): Route {
  const kept = new Map<string, Buffer>();
  const json = (response: ServerResponse, value: unknown) =>
    response.writeHead(200, { 'content-type': 'application/vnd.git-lfs+json' }).end(JSON.stringify(value));
  return (request, response, body) => {
    const { method, url = '' } = request;
    const oid = url.slice(url.lastIndexOf('/') + 1);
    if (url.endsWith('/locks/verify')) return json(response, { ours: [], theirs: [] });
    if (oid === 'batch')
      return json(response, answer(`https://${request.headers.host}${url.replace(/batch$/, '')}`, JSON.parse(body.toString())));
    if (method === 'PUT') kept.set(oid, body);
    const found = kept.get(oid);
    if (found === undefined) response.writeHead(404).end();
    else response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(method === 'PUT' ? undefined : found);
  };
}

/** Where each object is to be sent or fetched. */
function answer(objects: string, batch: Batch): unknown {
  return {
    transfer: 'basic',
    objects: batch.objects.map(({ oid, size }) => ({ oid, size, actions: { [batch.operation]: { href: `${objects}${oid}` } } })),
  };
}
