import { html, type Markup, type Piece } from './html.ts';
import type { Proof } from './page.ts';
import { iconPath, stylePath } from './style.ts';

export interface Shell {
  /** Path under which the server is reached (`` or `/gatehouse`). */
  readonly root: string;
  /** Path of the organization's pages. */
  readonly base: string;
  readonly title: string;
  readonly body: Markup;
  readonly wide?: boolean;
  /** Who is signed in, and what signs them out. */
  readonly person?: { readonly email: string; readonly token: string } | undefined;
  /** What other sites learn of this page; nothing, unless said. */
  readonly referrer?: 'strict-origin';
  /** Loads the page again after so many seconds, or goes elsewhere. */
  readonly refresh?: { readonly seconds: number; readonly to?: string } | undefined;
}

const mark = html`<svg viewBox="0 0 32 32" aria-hidden="true" focusable="false"><rect width="32" height="32" rx="7" fill="currentColor"/><path d="M8 25V14a8 8 0 0 1 16 0v11M16 25V13M12 25v-9M20 25v-9M6 25h20" fill="none" stroke-width="2.2" stroke-linecap="round"/></svg>`;

/** One whole page. */
export function page(shell: Shell): string {
  const { root, base, title, body, person, refresh } = shell;
  return `<!doctype html>\n${html`<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="${shell.referrer ?? 'same-origin'}">
<meta name="robots" content="noindex">
${refresh && html`<meta http-equiv="refresh" content="${refresh.seconds}${refresh.to !== undefined && `;url=${refresh.to}`}">`}
<title>${title} · Gatehouse</title>
<link rel="icon" href="${root}${iconPath}">
<link rel="stylesheet" href="${root}${stylePath}">
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header class="top"><div><a class="mark" href="${base}/">${mark}Gatehouse</a>${person && navigation(base, person)}</div></header>
<main id="content"${shell.wide === true && html` class="wide"`}>
${body}
</main>
</body>
</html>`}\n`;
}

function navigation(base: string, person: { readonly email: string; readonly token: string }): Markup {
  return html`<nav aria-label="Your account"><a class="who" href="${base}/account">${person.email}</a><form method="post" action="${base}/signout">${tokenField(person.token)}<button class="plain">Sign out</button></form></nav>`;
}

export function tokenField(token: string): Markup {
  return html`<input type="hidden" name="form_token" value="${token}">`;
}

export interface FieldOptions {
  readonly name: string;
  readonly label: string;
  readonly type?: 'text' | 'email' | 'password';
  readonly value?: string | undefined;
  readonly help?: string | undefined;
  readonly error?: string | undefined;
  readonly autocomplete?: string;
  readonly autofocus?: boolean;
  readonly code?: boolean;
  readonly required?: boolean;
  readonly minlength?: number;
}

/** A labelled input with its help and its error, tied together for those who do not see them. */
export function field(options: FieldOptions): Markup {
  const { name, label, help, error } = options;
  const about = [help !== undefined && `${name}-help`, error !== undefined && `${name}-error`].filter((id) => id !== false).join(' ');
  return html`<div class="field"><label for="${name}">${label}</label>
<input id="${name}" name="${name}" type="${options.type ?? 'text'}"${options.code === true && html` class="code" spellcheck="false" autocapitalize="characters"`}${
    options.value !== undefined && html` value="${options.value}"`
  } autocomplete="${options.autocomplete ?? 'off'}"${options.required !== false && html` required`}${
    options.minlength !== undefined && html` minlength="${options.minlength}"`
  }${options.autofocus === true && html` autofocus`}${about !== '' && html` aria-describedby="${about}"`}${error !== undefined && html` aria-invalid="true"`}>
${help !== undefined && html`<p class="help" id="${name}-help">${help}</p>`}
${error !== undefined && html`<p class="error" id="${name}-error">${sentence(error)}</p>`}</div>`;
}

/** Rooms say what is wrong in lower case and without a full stop, as the terminal does. */
export function sentence(words: string): string {
  const capital = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?:)*]$/.test(capital) ? capital : `${capital}.`;
}

export function note(kind: 'good' | 'warn' | 'bad' | 'plain', text: Piece): Markup {
  return html`<div class="note ${kind}"${kind === 'bad' && html` role="alert"`}><p>${text}</p></div>`;
}

export function facts(rows: readonly (readonly [label: string, value: Piece])[]): Markup | undefined {
  if (rows.length === 0) return undefined;
  return html`<dl class="facts">${rows.map(([label, value]) => html`<div><dt>${label}</dt><dd>${value}</dd></div>`)}</dl>`;
}

export function command(text: string): Markup {
  return html`<pre class="command"><code>${text}</code></pre>`;
}

/** A time as people read it, and exactly for programs. */
export function when(at: number): Markup {
  return html`<time datetime="${new Date(at).toISOString()}">${timeText(at)}</time>`;
}

export function timeText(at: number): string {
  return `${new Date(at).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** Asked for where what the browser holds is not proof enough of who is there. */
export function passwordAgain(proof: Proof | false, error: string | undefined): Markup | undefined {
  if (proof === false) return undefined;
  if (proof.by === 'nothing') return note('warn', 'This takes a password over plain http, and you have none. Open Gatehouse by https.');
  if (proof.by === 'sign_in') {
    return note(
      'warn',
      html`It has to be you, and not only your browser. ${error} <a href="${proof.url}">Sign in once more</a>, then open this page again.`,
    );
  }
  return field({
    name: 'password',
    label: 'Your password, once more',
    type: 'password',
    autocomplete: 'current-password',
    help: 'It has to be you, and not only your browser.',
    autofocus: error !== undefined,
    error,
  });
}
