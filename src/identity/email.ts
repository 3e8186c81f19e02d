import { Fault } from '#kernel';

/** Longest address of a mailbox (RFC 5321 §4.5.3.1.3, less its brackets). */
const longestEmail = 254;
const longestName = 200;
const shape = /^[^\s@"(),:;<>[\\\]]+@[^\s@"(),:;<>[\\\]]+$/u;

/** An address as typed, in NFC, trimmed. @throws {Fault} `invalid_request` */
export function parseEmail(typed: string): string {
  const email = typed.length > 4 * longestEmail ? '' : typed.normalize('NFC').trim();
  if (email.length > longestEmail || !shape.test(email) || !plain(email)) {
    throw new Fault('invalid_request', { fields: { '/email': 'give one e-mail address' } });
  }
  return email;
}

/** What makes two addresses one account: lower case, NFC. */
export function emailKeyOf(email: string): string {
  return email.normalize('NFC').trim().toLowerCase().normalize('NFC');
}

/** What a person is called. @throws {Fault} `invalid_request` */
export function parsePersonName(typed: string): string {
  const name = typed.length > 4 * longestName ? '' : typed.normalize('NFC').trim();
  if (name === '' || name.length > longestName || !plain(name)) {
    throw new Fault('invalid_request', { fields: { '/name': `give a name of 1 to ${longestName} characters` } });
  }
  return name;
}

/** No control, format or direction characters, which make one text look like another, and no broken surrogates. */
function plain(text: string): boolean {
  return !/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/u.test(text);
}
