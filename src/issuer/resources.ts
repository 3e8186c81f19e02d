/** A resource indicator: an absolute URI without fragment (RFC 8707 §2). */
export function isResource(text: string): boolean {
  if (text.length > 512 || !/^[a-z][a-z0-9+.-]*:[\x21-\x7e]+$/i.test(text) || text.includes('#')) return false;
  return URL.canParse(text);
}
