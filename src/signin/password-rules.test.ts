import { expect, test } from 'vitest';
import { Fault, Secret } from '#kernel';
import { checkNewPassword } from './password-rules.ts';

function problem(password: string, email = 'ada.lovelace@example.com'): string | undefined {
  try {
    checkNewPassword(new Secret(password), email);
    return undefined;
  } catch (error) {
    if (error instanceof Fault && error.code === 'invalid_request') return error.details.fields?.['/password'];
    throw error;
  }
}

test('a password has 12 to 1024 characters, counted as people count them', () => {
  expect(problem('plum orbit 9')).toBeUndefined();
  expect(problem('plum orbit9')).toMatch('12 to 1024');
  expect(problem('')).toMatch('12 to 1024');
  expect(problem('🌲🦊🪐🍋🎻🧲')).toMatch('12 to 1024');
  expect(problem('🌲🦊🪐🍋🎻🧲🌲🦊🪐🍋🎻🧲')).toBeUndefined();
  const long = 'plum orbit '.repeat(100).slice(0, 1024);
  expect(problem(long)).toBeUndefined();
  expect(problem(`${long}x`)).toMatch('12 to 1024');
  expect(problem('x'.repeat(10_000_000))).toMatch('12 to 1024');
});

test('the e-mail address is not a password', () => {
  for (const bad of ['ada.lovelace@example.com', 'ADA.Lovelace@Example.com', 'ada.lovelace123', '!!Ada.Lovelace!!']) {
    expect(problem(bad), bad).toMatch('e-mail');
  }
});

test('common words do not become passwords by digits, signs or repetition', () => {
  for (const bad of [
    'password1234',
    'Password123!!',
    '1234password!',
    'qwertyuiop12',
    'passwordpassword',
    'letmeinletmein',
    'Iloveyou2024!',
    'correcthorsebatterystaple',
  ]) {
    expect(problem(bad), bad).toMatch('commonest');
  }
});

test('runs and patterns of few characters are refused', () => {
  for (const bad of ['123456789012', '098765432109', 'abcdefghijkl', 'aaaaaaaaaaaa', 'abababababab', '111122223333']) {
    expect(problem(bad), bad).toMatch(/different|commonest/);
  }
});

test('what people really choose passes', () => {
  for (const good of ['correct horse battery staple', 'Zw1ebelkuchen im Mai', '8f3k29dkq1zp', 'пароль для кота'])
    expect(problem(good), good).toBeUndefined();
});
