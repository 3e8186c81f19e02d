/**
 * Whether upstreams could read this request in two ways (SECURITY 9): encoded letters, digits, dots, slashes or percent
 * signs, dot segments, empty segments, backslashes, `;parameters`, bytes outside printable ASCII, or a method that is
 * not in capitals. Reserved characters that are encoded (`%20`, `%3A`) have one reading and pass.
 */
export function isAmbiguous(method: string, path: string): boolean {
  if (!/^[A-Z]{1,20}$/.test(method)) return true;
  if (!path.startsWith('/') || strange.test(path)) return true;
  return path.includes('%') && (encodedPlain.test(path) || brokenEncoding.test(path));
}

/** Backslash, `;`, `#`, `?`, an empty segment, a dot segment, anything but printable ASCII. */
const strange = /[\\;#?]|\/\/|\/\.{1,2}(\/|$)|[^\x21-\x7e]/;

/** `%2E`, `%2F`, `%5C`, `%3B`, `%25`, `%00`-`%1F`, `%7F` and encoded letters and digits. */
const encodedPlain = /%(2[ef]|5c|3b|25|[01][0-9a-f]|7f|3[0-9]|4[1-9a-f]|5[0-9a]|6[1-9a-f]|7[0-9a])/i;
const brokenEncoding = /%(?![0-9a-f]{2})/i;

/**
 * Whether the path takes many calls in one body, which nobody here reads (SECURITY 9): GraphQL and OData batches wherever
 * they stand, and a `batch` of the whole API that no operation describes.
 */
export function carriesCalls(path: string, described: boolean): boolean {
  return graphql.test(path) || (!described && batch.test(path));
}

const graphql = /\/(graphql(?![a-z0-9])|\$batch|%24batch)/i;
const batch = /^\/batch(\/|$)|\/batch\/?$/i;
