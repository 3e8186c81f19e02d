import { createHash } from 'node:crypto';
import type { ChildEnvironmentInput } from './environment.ts';
import { proxyUser } from './forwarder.ts';

/** Not a secret: the store holds public certificates, and Java wants some password. */
const storePassword = 'changeit';
const magic = 0xfeedfeed;
const formatVersion = 2;
const trustedCertificate = 2;

/**
 * A Java key store (JKS) of trusted certificates, so that no `keytool` is needed. Layout: `java.security.KeyStore` of
 * type JKS, sealed with the digest the format has always used.
 */
export function javaTrustStore(certificates: readonly Buffer[], now: number): Buffer {
  const entries = certificates.map((der, index) => {
    const time = Buffer.alloc(8);
    time.writeBigInt64BE(BigInt(now));
    return Buffer.concat([word(trustedCertificate), text(`authority-${index}`), time, text('X.509'), word(der.length), der]);
  });
  const body = Buffer.concat([word(magic), word(formatVersion), word(entries.length), ...entries]);
  return Buffer.concat([body, sealOf(body)]);
}

function sealOf(body: Buffer): Buffer {
  const password = Buffer.from(storePassword, 'utf16le').swap16();
  return createHash('sha1').update(password).update('Mighty Aphrodite').update(body).digest();
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** Options of the Java machine, one a line. Its `java.net.http` client takes the proxy from here, but no password. */
export function javaOptions(proxy: ChildEnvironmentInput['proxy'], store: string, agent: string): string {
  const where = { proxyHost: proxy.host, proxyPort: String(proxy.port), proxyUser, proxyPassword: proxy.credential.reveal() };
  const both = Object.entries(where).flatMap(([name, value]) => [`-Dhttp.${name}=${value}`, `-Dhttps.${name}=${value}`]);
  const options = [
    `-javaagent:${agent}`,
    ...both,
    '-Dhttp.nonProxyHosts=localhost|127.*|[::1]',
    // Java refuses Basic for tunnels unless this list is empty; ours leads to loopback.
    '-Djdk.http.auth.tunneling.disabledSchemes=',
    `-Djavax.net.ssl.trustStore=${store}`,
    '-Djavax.net.ssl.trustStoreType=JKS',
    `-Djavax.net.ssl.trustStorePassword=${storePassword}`,
  ];
  return `${options.join('\n')}\n`;
}
