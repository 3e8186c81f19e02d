/** How each way into a session proved who is there, in the words of RFC 8176, with spaces between; nothing that we saw ourselves is null. */
export const authenticationMethods = Object.freeze({ setup: 'pwd', password: 'pwd', invitation: 'pwd', device: null, upstream: null });

export function methodsOf(amr: string | null): readonly string[] {
  return (amr ?? '').split(' ').filter((method) => method !== '');
}
