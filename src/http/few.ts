import { Fault } from '#kernel';

/** Those of a few that contain the text, anywhere in what is shown of them. */
export function containing<T>(items: readonly T[], text = ''): T[] {
  return items.filter((item) => JSON.stringify(item).toLowerCase().includes(text.toLowerCase()));
}

interface PageAsked {
  readonly text?: string | undefined;
  readonly cursor?: string | undefined;
  readonly limit: number;
}

/** A page of what is so little that it is read whole, in its order. @throws {Fault} `invalid_request` */
export function pageOfFew<T>(items: readonly T[], { text, cursor = '0', limit }: PageAsked): { items: T[]; next?: string } {
  if (!/^\d{1,6}$/.test(cursor))
    throw new Fault('invalid_request', { fields: { '/cursor': 'use the value of next from the page before' } });
  const found = containing(items, text);
  const end = Number(cursor) + limit;
  const shown = found.slice(Number(cursor), end);
  return end < found.length ? { items: shown, next: String(end) } : { items: shown };
}
