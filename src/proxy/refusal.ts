import { Fault, type FaultCode, faults, type RequestId } from '#kernel';

/** A refusal as it is rendered: by code, with what to do next. */
export interface Refusal {
  readonly code: FaultCode;
  readonly status: number;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
  readonly url?: string | undefined;
  readonly retryAfter?: number | undefined;
}

const retryLater = 1;

/** Any error as a refusal; what is not a `Fault` is ours and shows nothing of its cause. */
export function refusalOf(error: unknown): Refusal {
  if (!(error instanceof Fault)) return { code: 'internal', status: faults.internal.status };
  const { code, details } = error;
  const { status } = faults[code];
  return { code, status, detail: details.detail, hint: details.hint, url: details.url, retryAfter: details.retryAfter };
}

/**
 * The whole answer: `application/problem+json` (RFC 9457) with the fields of the management contract's `problem`,
 * marked as ours by `source` and by the header `Gatehouse-Refusal`. `body: false` answers HEAD.
 */
export function renderRefusal(refusal: Refusal, request: RequestId, how: { readonly close: boolean; readonly body: boolean }): string {
  const row = faults[refusal.code];
  const retryAfter = refusal.retryAfter ?? (refusal.status === 503 || refusal.status === 429 ? retryLater : undefined);
  const problem = asciiJson({
    type: 'about:blank',
    title: row.title,
    status: refusal.status,
    code: refusal.code,
    ...(refusal.detail === undefined ? {} : { detail: refusal.detail }),
    hint: refusal.hint ?? row.hint,
    request_id: request,
    ...(refusal.url === undefined ? {} : { url: refusal.url }),
    source: 'gatehouse',
  });
  let head = `HTTP/1.1 ${refusal.status} ${reasons[refusal.status] ?? 'Refused'}\r\n`;
  head += 'Content-Type: application/problem+json\r\nCache-Control: no-store\r\n';
  head += `Gatehouse-Refusal: ${refusal.code}\r\nContent-Length: ${problem.length}\r\n`;
  if (refusal.status === 407) head += 'Proxy-Authenticate: Basic realm="gatehouse"\r\nProxy-Authenticate: Bearer realm="gatehouse"\r\n';
  if (retryAfter !== undefined) head += `Retry-After: ${Math.max(1, Math.ceil(retryAfter))}\r\n`;
  if (how.close) head += 'Connection: close\r\n';
  return `${head}\r\n${how.body ? problem : ''}`;
}

/** JSON whose characters are all ASCII, so that its length in characters is its length in bytes. */
function asciiJson(value: object): string {
  return JSON.stringify(value).replace(/[\u007f-\uffff]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

const reasons: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  407: 'Proxy Authentication Required',
  409: 'Conflict',
  413: 'Content Too Large',
  421: 'Misdirected Request',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
};
