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
      const fields = Object.entries(rest).map(([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
      stream.write(`${String(time).slice(11, 19)} ${String(level).padEnd(5)} ${String(msg)}${fields.join('')}\n`);
    },
  };
}
