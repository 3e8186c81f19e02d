export type LogFields = Readonly<Record<string, unknown>>;

/** What rooms write their log lines to. Fields never hold a secret; a `Secret` prints as `[secret]`. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  child(fields: LogFields): Log;
}

/** A log that writes nothing. */
export const silentLog: Log = Object.freeze({
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
});
