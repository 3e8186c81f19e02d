import type { Authorization } from './contract.ts';
import type { Addressed } from './stages.ts';

/** How an answer reaches the client (OAuth 2.0 Multiple Response Types §2.1, Form Post Response Mode). */
export const responseModes = ['query', 'form_post'] as const;

/** A browser posts a form to a web server, and to no other program. */
export function canPost(redirect: string): boolean {
  return /^https?:/.test(redirect);
}

/** The answer, in the mode that was asked for, with `state` as it came and `iss`, errors too (RFC 9207 §2). */
export function answerTo({ at, redirect, parameters }: Addressed, answer: Readonly<Record<string, string>>): Authorization {
  const members = { ...answer, ...onlyState(parameters.all('state')), iss: at.issuer };
  const [mode, ...more] = parameters.all('response_mode');
  if (mode === 'form_post' && more.length === 0 && canPost(redirect)) return { kind: 'form', to: redirect, members };
  return { kind: 'redirect', to: `${redirect}${redirect.includes('?') ? '&' : '?'}${new URLSearchParams(members)}` };
}

/** Of several, none is the client's. */
function onlyState([state, ...more]: readonly string[]): { readonly state?: string } {
  return state === undefined || more.length > 0 ? {} : { state };
}
