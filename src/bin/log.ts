import { type DestinationStream, type Logger, pino } from 'pino';
import type { Log, LogFields } from '#kernel';

type Level = 'debug' | 'info' | 'warn' | 'error';

/** JSON lines to `stream`; readable lines when a person is looking. */
export function createLog(level: Level, stream: NodeJS.WriteStream): Log {
  const destination: DestinationStream = stream.isTTY ? readable(stream) : stream;
  return wrap(
    pino(
      { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } },
      destination,
    ),
  );
}

/** Lines for a person who waits at a terminal; nothing below what a server would say. */
export function toldAs(tell: (line: string) => void): Log {
  const say = (message: string, fields: LogFields = {}) => tell(`${message}${textOf(plain(fields))}`);
  const log: Log = Object.freeze({ debug() {}, info: say, warn: say, error: say, child: () => log });
  return log;
}

function textOf(fields: Readonly<Record<string, unknown>>): string {
  return Object.entries(fields)
    .map(([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('');
}

function wrap(logger: Logger): Log {
  const write = (level: Level) => (message: string, fields?: LogFields) => logger[level](plain(fields ?? {}), message);
  return Object.freeze({
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields: LogFields) => wrap(logger.child(plain(fields))),
  });
}

/** Errors by name and message only where they are ours; a stack helps whoever runs the server. */
function plain(fields: LogFields): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [
      key,
      value instanceof Error ? { name: value.name, message: value.message, stack: value.stack } : value,
    ]),
  );
}

/** `12:00:01 info  message key=value`. */
function readable(stream: NodeJS.WriteStream): DestinationStream {
  return {
    write(line: string) {
      const { time, level, msg, ...rest } = JSON.parse(line) as Record<string, unknown>;
      stream.write(`${String(time).slice(11, 19)} ${String(level).padEnd(5)} ${String(msg)}${textOf(rest)}\n`);
    },
  };
}
