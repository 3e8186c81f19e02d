import type { Duplex } from 'node:stream';

export interface Proxy {
  /** Opens a listener: a TCP address, or a unix socket. */
  listen(
    where:
      | { readonly host: string; readonly port: number; readonly tls?: { readonly cert: string; readonly key: string } }
      | { readonly path: string },
  ): Promise<{ readonly address: string; readonly port: number }>;
  /** Serves one proxy connection that arrived some other way (the relay). */
  accept(connection: Duplex, remoteAddress: string): void;
  /** Gives this certificate to whoever connects to a TCP listener from now on, where it encrypts. */
  secure(tls: { readonly cert: string; readonly key: string }): void;
  /** Stops accepting, lets exchanges end until `deadline` milliseconds passed or `hurry` is aborted, then cuts. */
  close(deadline: number, hurry?: AbortSignal): Promise<void>;
}
