import { Fault, Secret } from '#kernel';

const shortest = 12;
const longest = 1024;
/** Fewer different characters than this is a pattern, whatever its length. */
const fewest = 5;

/** The commonest words that people stretch to the length that is asked for. */
const commonest = [
  'password',
  'passwort',
  'passw0rd',
  'p@ssword',
  'p@ssw0rd',
  'qwerty',
  'qwertyuiop',
  'qwertyuiopasdfghjklzxcvbnm',
  'qwertz',
  'azerty',
  'asdfghjkl',
  'zxcvbnm',
  'letmein',
  'welcome',
  'iloveyou',
  'admin',
  'administrator',
  'changeme',
  'monkey',
  'dragon',
  'football',
  'baseball',
  'superman',
  'batman',
  'sunshine',
  'princess',
  'trustno',
  'whatever',
  'starwars',
  'computer',
  'internet',
  'secret',
  'default',
  'gatehouse',
  'abcdefghijkl',
  'abcdefghijklmnopqrstuvwxyz',
  'correcthorsebatterystaple',
  'thisisapassword',
  'mypassword',
  'yourpassword',
  'newpassword',
] as const;
const common: ReadonlySet<string> = new Set(commonest);

/** One password, however a keyboard composed it (NFKC, as RFC 8265 §4 has it for look-alikes of one character). */
export function normalPassword(password: Secret<string>): Secret<string> {
  return new Secret(password.reveal().normalize('NFKC'));
}

/** Whether it could be anybody's password at all; what is longer is refused before it costs anything. */
export function isPlausible(password: Secret<string>): boolean {
  const { length } = password.reveal();
  return length > 0 && length <= 2 * longest;
}

/** The rules for a new password. @throws {Fault} `invalid_request`, with what to do */
export function checkNewPassword(password: Secret<string>, email: string): void {
  const problem = isPlausible(password) ? problemOf(normalPassword(password).reveal(), email) : tooLong;
  if (problem !== undefined) throw new Fault('invalid_request', { fields: { '/password': problem } });
}

const tooLong = `use ${shortest} to ${longest} characters`;

function problemOf(password: string, email: string): string | undefined {
  const characters = [...password];
  if (characters.length < shortest || characters.length > longest) return tooLong;
  const lower = password.toLowerCase();
  const address = email.normalize('NFKC').trim().toLowerCase();
  if (lower === address || stem(lower) === stem(address.split('@')[0] as string)) return 'do not use the e-mail address';
  if (new Set(characters).size < fewest || isRun(lower)) return 'use more different characters';
  return isCommon(lower) ? 'this is one of the commonest passwords' : undefined;
}

/** A common word, also repeated, or with digits and signs around it. */
function isCommon(password: string): boolean {
  const word = stem(password);
  if (common.has(password) || common.has(word)) return true;
  return commonest.some(
    (each) => word.length > each.length && word.length % each.length === 0 && word === each.repeat(word.length / each.length),
  );
}

/** Without digits and signs at both ends. */
function stem(text: string): string {
  return text.replace(/^[\P{L}]+|[\P{L}]+$/gu, '');
}

/** `123456789012`, `abcdefghijkl`, `098765432109`: each character follows the one before. */
function isRun(text: string): boolean {
  const steps = new Set<number>();
  for (let i = 1; i < text.length; i++) steps.add((text.charCodeAt(i) - text.charCodeAt(i - 1) + 10) % 10);
  return steps.size === 1;
}
