import { describe, expect, it } from 'vitest';
import { html, linkTo } from './html.ts';
import { safeNext } from './page.ts';

describe('html', () => {
  it('escapes whatever is put in, in elements and in attributes', () => {
    const nasty = `<img src=x onerror="alert('1')">\`&`;
    expect(String(html`<p title="${nasty}">${nasty}</p>`)).toBe(
      '<p title="&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&#96;&amp;">&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&#96;&amp;</p>',
    );
  });

  it('escapes once: markup stays markup, lists are joined, nothing is nothing', () => {
    const items = ['<a>', html`<b>b</b>`, false, undefined, 0] as const;
    expect(String(html`<ul>${items}</ul>`)).toBe('<ul>&lt;a&gt;<b>b</b>0</ul>');
  });

  it.each(['javascript:alert(1)', 'data:text/html,x', ' https://x', 'https://', 'vbscript:x', '//x', ''])(
    'links nowhere for %j',
    (address) => expect(linkTo(address)).toBe('#'),
  );

  it.each([
    '//evil.com',
    '/\\evil.com',
    'https://evil.com',
    '\\\\evil.com',
    '/\t/evil.com',
    '/.//evil.com',
    '/a/..//evil.com',
    '/%2e//evil.com',
    '/a b',
    '',
    'evil',
    undefined,
  ])('does not go on to %j', (next) => expect(safeNext(next)).toBe('/'));

  it.each(['/', '/connect/flw_1/allow?x=1', '/confirm/cnf_1'])('goes on to %s', (next) => expect(safeNext(next)).toBe(next));
});
