import { describe, expect, it } from 'vitest';
import { Secret } from '#kernel';
import { createCookies } from './cookies.ts';

describe('cookies', () => {
  it('keeps itself to this very host over https', () => {
    const cookie = createCookies(true, undefined).setSession(new Secret('abc'), 60);
    expect(cookie).toBe('__Host-gatehouse_session=abc; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=60');
    expect(createCookies(true, undefined).setForm('x')).toContain('SameSite=Strict');
  });

  it('reads its own name only', () => {
    const { session } = createCookies(true, undefined);
    expect(session('a=b; __Host-gatehouse_session=abc')).toBe('abc');
    expect(session('gatehouse_session=abc')).toBeUndefined();
    expect(session(undefined)).toBeUndefined();
  });

  it('believes none of two: a sibling host may have planted the other', () => {
    expect(createCookies(false, undefined).session('gatehouse_session=a; gatehouse_session=b')).toBeUndefined();
  });

  it.each(['gatehouse_session=', 'gatehouse_session=a b', 'gatehouse_session="a"', `gatehouse_session=${'a'.repeat(513)}`])(
    'does not take %s for a value',
    (header) => expect(createCookies(false, undefined).session(header)).toBeUndefined(),
  );
});
