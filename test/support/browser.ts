import { lookup as systemLookup } from 'node:dns';
import { Agent, fetch } from 'undici';

/** A page as it came, after redirects. */
export interface Page {
  readonly url: string;
  readonly status: number;
  readonly text: string;
}

type Fields = Readonly<Record<string, string>>;

/** A browser without script: a cookie jar, redirects (also `<meta http-equiv="refresh">`), forms. */
export interface Browser {
  open(url: string): Promise<Page>;
  /** Submits the first form whose action contains `action`, with its own values and these. */
  submit(page: Page, action: string, fields?: Fields): Promise<Page>;
  /** The cookies it holds for a host, by name. */
  cookies(url: string): Readonly<Record<string, string>>;
}

interface Request {
  readonly method: 'GET' | 'POST';
  readonly body?: string;
}

const most = 20;

export interface BrowserOptions {
  /** Authorities it trusts, PEM. */
  readonly ca?: string;
  /** Names below this suffix are on this machine. */
  readonly local?: string;
  /** Where requests really go, as a balancer decides: an origin, asked for each. */
  readonly through?: () => string;
}

export function createBrowser({ ca, local, through }: BrowserOptions = {}): Browser {
  const lookup = (name: string) => (local !== undefined && name.endsWith(local) ? '127.0.0.1' : name);
  // No connection is kept: one that the server closes meanwhile would fail the next page.
  const dispatcher = new Agent({
    pipelining: 0,
    connect: {
      ...(ca === undefined ? {} : { ca }),
      lookup: (name, options, callback) => systemLookup(lookup(name), options, callback),
    },
  });
  const jars = new Map<string, Map<string, string>>();

  async function visit(url: string, request: Request, hops = 0): Promise<Page> {
    if (hops > most) throw new Error(`too many redirects at ${url}`);
    const { origin, host, pathname, search } = new URL(url);
    const dialled = through === undefined ? url : through() + pathname + search;
    const jar = jars.get(host) ?? new Map<string, string>();
    jars.set(host, jar);
    const answer = await fetch(dialled, {
      dispatcher,
      method: request.method,
      redirect: 'manual',
      headers: {
        ...(through === undefined ? {} : { host }),
        cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; '),
        ...(request.body === undefined
          ? {}
          : { 'content-type': 'application/x-www-form-urlencoded', origin, 'sec-fetch-site': 'same-origin' }),
      },
      ...(request.body === undefined ? {} : { body: request.body }),
    });
    keep(jar, answer.headers.getSetCookie());
    const text = await answer.text();
    const next = answer.headers.get('location') ?? refreshTarget(text);
    if (next !== undefined && next !== null) return visit(new URL(next, url).href, { method: 'GET' }, hops + 1);
    return { url, status: answer.status, text };
  }

  return {
    open: (url) => visit(url, { method: 'GET' }),
    cookies: (url) => Object.fromEntries(jars.get(new URL(url).host) ?? []),
    submit(page, action, fields = {}) {
      const form = formOf(page, action);
      const own = form.fields.filter(([name]) => !(name in fields));
      return visit(form.action, { method: 'POST', body: new URLSearchParams([...own, ...Object.entries(fields)]).toString() });
    },
  };
}

function keep(jar: Map<string, string>, cookies: readonly string[]): void {
  for (const cookie of cookies) {
    const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
    if (/max-age=0|expires=Thu, 01 Jan 1970/i.test(cookie)) jar.delete(name);
    else jar.set(name, value);
  }
}

/** Only a refresh that leaves at once counts: pages that wait also refresh themselves. */
function refreshTarget(text: string): string | undefined {
  const found = /<meta[^>]+http-equiv="refresh"[^>]+content="0;\s*url=([^"]+)"/i.exec(text)?.[1];
  return found === undefined ? undefined : plain(found);
}

function formOf(page: Page, action: string): { readonly action: string; readonly fields: readonly [string, string][] } {
  for (const [, head = '', body = ''] of page.text.matchAll(/<form([^>]*)>([\s\S]*?)<\/form>/gi)) {
    const target = plain(attribute(head, 'action') ?? page.url);
    if (!target.includes(action)) continue;
    return { action: new URL(target, page.url).href, fields: [...fieldsOf(body)] };
  }
  throw new Error(
    `no form for ${action} on ${page.url} (${page.status}): ${page.text
      .replace(/<style[\s\S]*?<\/style>|<[^>]+>/g, ' ')
      .replace(/\s+/g, ' ')
      .slice(0, 400)}`,
  );
}

function* fieldsOf(body: string): Generator<[string, string]> {
  for (const [tag] of body.matchAll(/<input[^>]*>/gi)) {
    const name = attribute(tag, 'name');
    const type = attribute(tag, 'type') ?? 'text';
    const chosen = !['radio', 'checkbox'].includes(type) || /\schecked\b/i.test(tag);
    if (name !== undefined && chosen && type !== 'submit') yield [name, plain(attribute(tag, 'value') ?? '')];
  }
  for (const [, head = '', options = ''] of body.matchAll(/<select([^>]*)>([\s\S]*?)<\/select>/gi)) {
    const name = attribute(head, 'name');
    const option = /<option[^>]*\sselected[^>]*>/i.exec(options)?.[0] ?? /<option[^>]*>/i.exec(options)?.[0] ?? '';
    if (name !== undefined) yield [name, plain(attribute(option, 'value') ?? '')];
  }
}

function attribute(tag: string, name: string): string | undefined {
  return new RegExp(`\\s${name}="([^"]*)"`, 'i').exec(tag)?.[1];
}

function plain(text: string): string {
  return text.replace(
    /&(amp|lt|gt|quot|#39|#x27);/g,
    (_, name: string) => ({ amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'", '#x27': "'" })[name] ?? '',
  );
}
