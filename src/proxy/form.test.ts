import { describe, expect, it } from 'vitest';
import { formGuard } from './form.ts';

/** Whether a body is let through, whole and in slices of every small size. */
function passes(form: 'urlencoded' | 'multipart', body: string): boolean {
  const bytes = Buffer.from(body, 'latin1');
  const answers = [bytes.length, 1, 2, 3, 7].map((size) => {
    const guard = formGuard(form);
    let found = false;
    for (let at = 0; at < bytes.length && !found; at += size) found = guard(bytes.subarray(at, at + size));
    return !found;
  });
  expect(new Set(answers).size, body).toBe(1);
  return answers[0] as boolean;
}

describe('a form', () => {
  it.each([
    '_method=DELETE',
    'a=1&_method=DELETE',
    'a=1;_method=PUT',
    '_METHOD=x',
    '%5Fmethod=x',
    '%5f%6D%65%74%68%6f%64=x',
    '_method[]=x',
    '_method%5B%5D=x',
    '.method=x',
    '[method=x',
    '+_method=x',
    `${'%20'.repeat(500)}_method=x`,
    `${'+'.repeat(500)}%09_method=x`,
    'x_http_method_override=PUT',
    'X-HTTP-Method-Override=PUT',
    `big=${'x'.repeat(10_000)}&_method=x`,
  ])('that names a method is stopped: %.40s', (body) => expect(passes('urlencoded', body)).toBe(false));

  it.each([
    '',
    'a=1&b=2',
    'payment_method=card&payment_methods[]=x',
    '_methodology=agile',
    'a=_method=DELETE',
    '_method',
    '{"json":"sent as a form","_method":"x"}',
    `${'x'.repeat(10_000)}`,
  ])('that does not passes: %.40s', (body) => expect(passes('urlencoded', body)).toBe(true));
});

const part = (disposition: string) => `--b\r\n${disposition}\r\n\r\nDELETE\r\n--b--\r\n`;

describe('a form in parts', () => {
  it.each([
    'Content-Disposition: form-data; name="_method"',
    'content-disposition:form-data;NAME=_method',
    "Content-Disposition: form-data; name='_method'",
    "Content-Disposition: form-data; name*=UTF-8''%5Fmethod",
    'Content-Disposition: form-data; name="\\_method"; filename="x"',
    'Content-Disposition: form-data; filename="x"; name="_method"',
    'Content-Disposition: form-data; name*0="_met"; name*1=hod',
    'Content-Disposition: form-data;\r\n name*0*=UTF-8\'\'_met;\r\n name*1="hod"',
    'Content-Disposition: form-data; name="=?utf-8?B?X21ldGhvZA==?="',
    'Content-Disposition: form-data; name==?utf-8?Q?=5Fmethod?=',
    'Content-Disposition: form-data;\r\n name="_method"',
    'Content-Disposition:\r\n\tform-data; name="_method"',
    'Content-Disposition: form-data; name="\r\n _method"',
    'Content-Disposition: form-data; name=\r\n "_method"',
    'Content-Disposition: form-data; x=y\r\n z; name="_method"',
    'Content-Disposition: form-data;\rname="_method"',
    'Content-Type: text/plain\rContent-Disposition: form-data; name="_method"',
    ' Content-Disposition: form-data; name="_method"',
    `Content-Disposition: form-data; x="${'x'.repeat(5_000)}"; name="_method"`,
    'Content-Type: text/plain\r\nContent-Disposition: form-data; name="_method"',
  ])('that names a method is stopped: %.70s', (disposition) => expect(passes('multipart', part(disposition))).toBe(false));

  it.each([
    'Content-Disposition: form-data; name="payment_method"',
    'Content-Disposition: form-data; name="file"; filename="_method"',
    'Content-Disposition: form-data; name="a"\r\n\r\n_method=DELETE name="_method"',
  ])('that does not passes: %.70s', (disposition) => expect(passes('multipart', part(disposition))).toBe(true));
});
