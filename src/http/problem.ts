import { Fault, isFault, type Log } from '#kernel';

export interface Rendered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A fault as an RFC 9457 problem document, marked as ours. */
export function problemOf(fault: Fault, requestId: string): Rendered {
  const { row, details } = fault;
  const document = {
    type: `urn:gatehouse:problem:${fault.code}`,
    title: row.title,
    status: row.status,
    code: fault.code,
    ...(details.detail !== undefined && fault.code !== 'internal' ? { detail: details.detail } : {}),
    hint: fault.hint,
    request_id: requestId,
    ...(details.url === undefined ? {} : { url: details.url }),
    ...(details.fields === undefined ? {} : { errors: details.fields }),
    source: 'gatehouse',
  };
  return {
    status: row.status,
    headers: { 'content-type': 'application/problem+json; charset=utf-8', ...problemHeaders(fault) },
    body: JSON.stringify(document),
  };
}

/** Headers that go with a fault whatever it is rendered as. What waits for a person is not mended by trying again. */
export function problemHeaders(fault: Fault): Record<string, string> {
  const retryAfter = fault.details.retryAfter ?? (fault.row.status === 503 && fault.code !== 'setup_required' ? 5 : undefined);
  return {
    ...(retryAfter === undefined ? {} : { 'retry-after': String(Math.max(1, Math.ceil(retryAfter))) }),
    ...(fault.row.status === 401 ? { 'www-authenticate': 'PoP, Bearer' } : {}),
  };
}

/** Errors that the framework raises before a handler runs, by its own code. */
const frameworkFaults: Readonly<Record<string, () => Fault>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: () => new Fault('payload_too_large'),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () => new Fault('unsupported_media_type'),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () => new Fault('invalid_request', { detail: 'The body has another length than was announced' }),
  FST_ERR_BAD_URL: () => new Fault('invalid_request', { detail: 'The address is not well formed' }),
  FST_ERR_MAX_PARAM_LENGTH: () => new Fault('not_found'),
};

/** Any error as a fault. What is not ours becomes `internal`, and only the log learns why. */
export function faultFrom(error: unknown, log: Log, requestId: string): Fault {
  if (isAbort(error)) return new Fault('cancelled');
  const fault = isFault(error) ? error : (frameworkFaults[codeOf(error) ?? '']?.() ?? new Fault('internal', { cause: error }));
  if (fault.details.cause !== undefined && fault.row.status >= 500) {
    log.error('request failed', { request: requestId, code: fault.code, cause: causeOf(fault) });
  }
  return fault;
}

/** The client went away in the middle of its request: nothing of ours, so anybody could fill the log with it. */
function isAbort(error: unknown): boolean {
  return error instanceof Error && codeOf(error) === 'ECONNRESET' && error.message === 'aborted';
}

/** Parsers quote what they read in their message, and what they read may be secret. */
function causeOf(fault: Fault): unknown {
  const cause = fault.details.cause;
  if (!(cause instanceof Error)) return undefined;
  const quotes = cause instanceof SyntaxError || cause.name === 'ZodError';
  const frames = (cause.stack ?? '').split('\n').filter((line) => line.startsWith('    at '));
  return { name: cause.name, code: codeOf(cause), message: quotes ? undefined : cause.message, stack: frames.slice(0, 12) };
}

function codeOf(error: unknown): string | undefined {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}
