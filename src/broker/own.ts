const loopback = new Set(['localhost', '127.0.0.1', '::1', '[::1]']);

/** Says whether a host and port are Gatehouse's own: neither reached through its proxy nor vouched for by a run CA. */
export interface Own {
  is(host: string, port: number): boolean;
  /** The name alone, for a run CA. */
  named(host: string): boolean;
}

/**
 * `hosts` are names, each for every port, or `name:port`. A loopback name belongs to the whole machine, so of it only
 * the public URL's own port is ours; the address guard keeps the other listeners shut.
 */
export function createOwn(publicUrl: string, hosts: readonly string[]): Own {
  const url = new URL(publicUrl);
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
  const everyPort = new Set<string>();
  const pairs = new Set<string>([`${url.hostname}:${port}`]);
  for (const text of hosts) {
    const host = text.toLowerCase();
    if (/^[^:]+:\d{1,5}$/.test(host)) pairs.add(host);
    else if (!loopback.has(host)) everyPort.add(host);
  }
  if (loopback.has(url.hostname)) for (const host of loopback) pairs.add(`${host}:${port}`);
  return Object.freeze({
    is: (host: string, at: number) => everyPort.has(host) || pairs.has(`${host}:${at}`),
    named: (host: string) => everyPort.has(host) || (url.hostname === host && !loopback.has(host)),
  });
}
