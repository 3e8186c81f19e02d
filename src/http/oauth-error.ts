import type { Fault } from '#kernel';
import { problemHeaders, type Rendered } from './problem.ts';

/**
 * A fault as an OAuth error answer (RFC 6749 §5.2). Its characters are those that the standard allows. `byHeader`: the request came
 * with an `Authorization` header, and is told which it should have been; some client libraries read the body only without that.
 */
export function oauthError(fault: Fault, byHeader: boolean): Rendered {
  const { row, details } = fault;
  const told = fault.code === 'internal' ? row.title : (details.detail ?? row.title);
  const description = `${told}; ${fault.hint}`.replaceAll('"', "'").replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, '?');
  return {
    status: row.status,
    headers: { 'content-type': 'application/json; charset=utf-8', ...headersOf(fault), ...challenge(fault, byHeader) },
    body: JSON.stringify({ error: row.oauth, error_description: description }),
  };
}

function headersOf(fault: Fault): Record<string, string> {
  const { 'www-authenticate': _ours, ...headers } = problemHeaders(fault);
  return headers;
}

/** RFC 6749 §5.2, RFC 6750 §3. */
function challenge({ code, row }: Fault, byHeader: boolean): Record<string, string> {
  if (code === 'access_token_invalid' || code === 'scope_insufficient') return { 'www-authenticate': `Bearer error="${row.oauth}"` };
  return row.status === 401 && byHeader ? { 'www-authenticate': 'Basic realm="gatehouse"' } : {};
}
