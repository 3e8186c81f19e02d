import type { Secret } from '#kernel';

/** What our cookies are called: over https the browser itself keeps them to this host (`__Host-`). */
export interface Cookies {
  /** The session's bearer value; undefined when there is none, or more than one (a sibling host may have planted the other). */
  session(header: string | undefined): string | undefined;
  /** The value that forms before sign-in are tied to. */
  form(header: string | undefined): string | undefined;
  /** What ties a waiting authorization request to the browser that began it. */
  browser(header: string | undefined): string | undefined;
  setSession(bearer: Secret<string>, seconds: number): string;
  setForm(value: string): string;
  setBrowser(value: string): string;
  clearSession(): string;
}

/**
 * The cookies of one organization. Each has a name of its own and not a path of its own: a path keeps nobody out, and
 * `__Host-` takes none. The browser's own value is one for all, as it gives access to nothing.
 */
export function createCookies(secure: boolean, slug: string | undefined): Cookies {
  const prefix = secure ? '__Host-' : '';
  const own = slug === undefined ? '' : `.${slug}`;
  const session = `${prefix}gatehouse_session${own}`;
  const form = `${prefix}gatehouse_form${own}`;
  const browser = `${prefix}gatehouse_browser`;
  const fixed = `Path=/; HttpOnly${secure ? '; Secure' : ''}`;
  return Object.freeze({
    session: (header: string | undefined) => only(header, session),
    form: (header: string | undefined) => only(header, form),
    browser: (header: string | undefined) => only(header, browser),
    // Lax, not Strict: a provider sends the browser back to us, and it must still be signed in then.
    setSession: (bearer: Secret<string>, seconds: number) =>
      `${session}=${bearer.reveal()}; ${fixed}; SameSite=Lax; Max-Age=${Math.max(0, Math.floor(seconds))}`,
    setForm: (value: string) => `${form}=${value}; ${fixed}; SameSite=Strict`,
    // Lax: the request comes from the client's site.
    setBrowser: (value: string) => `${browser}=${value}; ${fixed}; SameSite=Lax`,
    clearSession: () => `${session}=; ${fixed}; SameSite=Lax; Max-Age=0`,
  });
}

function only(header: string | undefined, name: string): string | undefined {
  const values = (header ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
  const [value] = values;
  return values.length === 1 && value !== undefined && /^[A-Za-z0-9._~-]{1,512}$/.test(value) ? value : undefined;
}
