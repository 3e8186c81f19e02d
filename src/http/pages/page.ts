import { Fault, isFault, Secret } from '#kernel';
import { isFresh, type Session } from '#signin';
import type { Cookies } from '../cookies.ts';
import type { Incoming } from '../incoming.ts';
import type { Kit } from '../kit.ts';
import type { Markup } from './html.ts';

export type Form = Readonly<Record<string, string | readonly string[]>>;

/** A request for a page: who is signed in, and what was sent. */
export interface PageRequest<S = Session | undefined> {
  readonly incoming: Incoming;
  readonly session: S;
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly form: Form;
  /** What every form of this page carries; POST without it is refused. */
  readonly token: string;
}

export type PageAnswer = { readonly cookies?: readonly string[] } & (
  | {
      readonly kind: 'page';
      readonly status?: number;
      readonly title: string;
      readonly body: Markup;
      readonly wide?: boolean;
      readonly refresh?: { readonly seconds: number; readonly to?: string };
      /** Where its form ends, beside us. */
      readonly destination?: string | undefined;
      /** Addresses of other sites that it loads in frames. */
      readonly frames?: readonly string[];
    }
  | { readonly kind: 'go'; readonly to: string }
  /** To another site; only to what a room has verified. */
  | { readonly kind: 'leave'; readonly to: string }
  /** The same, by a form. */
  | { readonly kind: 'submit'; readonly to: string; readonly members: Readonly<Record<string, string>> }
);

interface Common {
  readonly path: string;
  readonly method: 'GET' | 'POST';
  /** Other sites may post to it: nothing follows from who the browser is signed in as. */
  readonly fromElsewhere?: true;
}

/** A page for anyone, or for a person who is signed in. */
export type PageRoute =
  | (Common & { readonly needs: 'anyone'; readonly handle: (request: PageRequest) => Promise<PageAnswer> })
  | (Common & { readonly needs: 'session'; readonly handle: (request: PageRequest<Session>) => Promise<PageAnswer> });

/** What the pages work with. */
export interface PageKit extends Kit {
  /** Path under which the server is reached: empty, or `/gatehouse`. */
  readonly root: string;
  /** Of the organization, below that: empty, or `/o/{slug}`. */
  readonly prefix: string;
  /** Both: what every path of a page begins with, and what `go` adds. */
  readonly base: string;
  readonly cookies: Cookies;
}

export function text(form: Form, name: string): string {
  const value = form[name];
  return typeof value === 'string' ? value.trim() : '';
}

export function texts(form: Form, name: string): readonly string[] {
  const value = form[`${name}[]`];
  return typeof value === 'object' ? value : [];
}

export function secret(form: Form, name: string): Secret<string> {
  const value = form[name];
  return new Secret(typeof value === 'string' ? value : '');
}

/** A path of ours to go on to, or home: never another site. */
export function safeNext(next: string | undefined): string {
  if (next === undefined || !/^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/.test(next)) return '/';
  const origin = 'http://own.invalid';
  const url = URL.canParse(next, origin) ? new URL(next, origin) : undefined;
  // What dot segments leave behind can begin with two slashes, and then names another host.
  return url?.origin === origin && !url.pathname.startsWith('//') ? `${url.pathname}${url.search}` : '/';
}

/** How a person proves once more that it is they. Who has no password signs in again; over plain http that would prove nothing. */
export type Proof = { readonly by: 'password' } | { readonly by: 'sign_in' | 'nothing'; readonly url: string };

export type Proved = { readonly kind: 'proved'; readonly session: Session } | { readonly kind: 'not_proved'; readonly error: string };

/**
 * Whether what gives access needs the password once more. Over plain http always: browsers send a cookie to every port of
 * its host (RFC 6265 §8.5), so whoever serves a page on another port of this machine may hold this session as well.
 */
export function mustProve({ rooms }: Kit, session: Session): Proof | false {
  const encrypted = rooms.publicUrl.startsWith('https:');
  if (encrypted && isFresh(session, rooms.clock.now())) return false;
  if (session.user.hasPassword) return { by: 'password' };
  return { by: encrypted ? 'sign_in' : 'nothing', url: `${rooms.publicUrl}/signin?again=yes` };
}

/** Whether the person has proved who they are just now; a password in the form counts (SECURITY 4). */
export async function proveAgain(kit: Kit, request: PageRequest<Session>): Promise<Proved> {
  const { session, form, incoming } = request;
  if (mustProve(kit, session) === false) return { kind: 'proved', session };
  if (!session.user.hasPassword) return { kind: 'not_proved', error: 'Nothing was changed yet.' };
  if (text(form, 'password') === '') return { kind: 'not_proved', error: 'Type your password to go on.' };
  try {
    return { kind: 'proved', session: await kit.rooms.signin.reauthenticate(session, secret(form, 'password'), incoming.address) };
  } catch (error) {
    if (isFault(error, 'invalid_credentials')) return { kind: 'not_proved', error: 'That is not your password. Try again.' };
    if (isFault(error, 'rate_limited')) return { kind: 'not_proved', error: 'Too many tries. Wait a little, then try again.' };
    throw error;
  }
}

/** What went wrong, as a sentence for the form it happened in; faults of ours only. */
export function sentenceOf(error: unknown): {
  readonly status: number;
  readonly sentence: string;
  readonly fields: Readonly<Record<string, string>>;
} {
  if (!(error instanceof Fault) || error.row.status >= 500) throw error;
  const fields = error.details.fields ?? {};
  const { status, sentence } = told(error);
  return { status, sentence: Object.keys(fields).length > 0 ? 'Something here cannot be used yet. See below.' : sentence, fields };
}

/** A fault as a sentence: what happened, and what to do. */
export function told({ row, details, hint }: Fault): { readonly status: number; readonly sentence: string } {
  return { status: row.status, sentence: `${capital(details.detail ?? row.title)}. ${capital(hint)}.` };
}

export function capital(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
