/**
 * Text in PostgreSQL holds every character but U+0000. It is written as U+0001 U+0001, and U+0001 itself as U+0001 U+0002:
 * nothing is lost, two texts stay in the order of their bytes, and a prefix stays a prefix.
 */
export function toStored(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these two are what it is about
  return text.replace(/[\u0000\u0001]/g, (character) => (character === '\u0000' ? '\u0001\u0001' : '\u0001\u0002'));
}

export function fromStored(text: string): string {
  if (!text.includes('\u0001')) return text;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these two are what it is about
  return text.replace(/\u0001([\u0001\u0002])/g, (_, second: string) => (second === '\u0001' ? '\u0000' : '\u0001'));
}
