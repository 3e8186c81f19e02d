import { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';
import { TLSSocket } from 'node:tls';

/** Reads the certificate that a client proved to have: DER, or undefined. */
export type CertificateReader = (request: IncomingMessage) => Uint8Array | undefined;

/**
 * From the connection itself; where it comes from a trusted proxy and a header is named for it, from that header alone: whoever else
 * sends the header says nothing by it (RFC 8705 §6.5, RFC 9440). A script of another site has no certificate: the browser would add it by itself.
 */
export function certificateReader(trusted: readonly string[], header: string | undefined): CertificateReader {
  const proxies = listOf(trusted);
  return (request) => {
    if (request.headers.origin !== undefined) return undefined;
    if (header !== undefined && isFrom(proxies, request.socket.remoteAddress)) return fromHeader(request.headersDistinct[header]);
    if (!(request.socket instanceof TLSSocket)) return undefined;
    return request.socket.getPeerX509Certificate()?.raw;
  };
}

function listOf(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', bits] = network.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (isIP(address) === 0) continue;
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return list;
}

function isFrom(proxies: BlockList, address: string | undefined): boolean {
  const plain = address?.replace(/^::ffff:(?=\d+\.)/, '') ?? '';
  return isIP(plain) !== 0 && proxies.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4');
}

/** `:base64:` (RFC 9440), PEM with percent signs (nginx, Envoy), or base64 alone (Traefik). */
function fromHeader(values: readonly string[] | undefined): Uint8Array | undefined {
  const [value, ...more] = values ?? [];
  if (value === undefined || more.length > 0 || value.length > 16_384) return undefined;
  try {
    const text = value.includes('%') ? decodeURIComponent(value) : value;
    const base64 = text.replace(/-----(BEGIN|END) CERTIFICATE-----/g, '').replace(/[\s:]/g, '');
    return new X509Certificate(Buffer.from(base64, 'base64')).raw;
  } catch {
    return undefined;
  }
}
