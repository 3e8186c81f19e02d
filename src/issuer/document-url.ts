import type { ClientUrl } from '#kernel';

const longest = 512;

/**
 * A client id that is the URL of the document that describes the client (CIMD §3): https, with a path, without user information,
 * fragment or dot segments. It is spelled as URLs are when they are normal, and compared character by character.
 */
export function documentUrl(text: string): ClientUrl | undefined {
  if (!text.startsWith('https://') || text.length > longest || text.includes('#') || !URL.canParse(text)) return undefined;
  const { href, username, password, pathname } = new URL(text);
  return href === text && username === '' && password === '' && pathname !== '/' ? (text as ClientUrl) : undefined;
}
