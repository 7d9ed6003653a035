/** Default and maximum of PageSize (docs/vendor-facts.md, "API: lists"). */
export const DEFAULT_PAGE_SIZE = 50;
export const MAX_PAGE_SIZE = 1000;
/** Of IP Commands. */
export const MAX_COMMANDS_PAGE_SIZE = { kore: 100, twilio: MAX_PAGE_SIZE } as const;

/**
 * A page token in a list that is newest first: `PA` and a SID for the page after it, `PB` and a SID for the page before
 * it. A SID, not an offset, so that a page stays the same while new resources arrive.
 */
export const PAGE_TOKEN = /^P[AB][A-Z]{2}[0-9a-fA-F]{32}$/;

export interface PageRequest {
  readonly pageSize: number;
  /** The client's count of pages; it selects nothing. */
  readonly page: number;
  readonly pageToken?: string | undefined;
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly nextToken?: string;
  readonly previousToken?: string;
}

/** A list to make pages of, newest first; an array is one. */
export interface ListSource<T> {
  readonly length: number;
  at(index: number): T | undefined;
  /** Index of the resource with this SID, -1 when it was evicted; without this method the list is searched. */
  indexOfSid?(sid: string): number;
}

/**
 * Returns one page of the items that match. Only the page and its neighbours are read.
 *
 * @param all newest first; the oldest may have been evicted since the token was made
 */
export function pageOf<T extends { readonly sid: string }>(
  all: ListSource<T>,
  matches: (item: T) => boolean,
  { pageSize, pageToken }: PageRequest,
): Page<T> {
  const backward = pageToken?.startsWith('PB') === true;
  const from = startOf(all, pageToken, backward);
  const found = matching(all, matches, from, backward ? -1 : 1, pageSize + 1);
  const items = found.slice(0, pageSize);
  const nearest = items.at(0);
  const farthest = items.at(-1);
  if (nearest === undefined || farthest === undefined) return { items };
  // An item that did not fit shows that the list goes on; before the page there is usually the token's own item.
  const behind = found.length > pageSize;
  const before = matching(all, matches, from + (backward ? 1 : -1), backward ? 1 : -1, 1).length > 0;
  const [older, newer] = backward ? [before, behind] : [behind, before];
  const [newest, oldest] = backward ? [farthest, nearest] : [nearest, farthest];
  return {
    items: backward ? items.reverse() : items,
    ...(older && { nextToken: `PA${oldest.sid}` }),
    ...(newer && { previousToken: `PB${newest.sid}` }),
  };
}

/** Index of a page's first item, in the direction of its token. */
function startOf(all: ListSource<{ readonly sid: string }>, pageToken: string | undefined, backward: boolean): number {
  if (pageToken === undefined) return 0;
  const at = indexOfSid(all, pageToken.slice(2));
  // The oldest are evicted first: when the token's item is gone, all after it are, and none before it.
  const index = at === -1 ? all.length : at;
  return backward ? index - 1 : index + 1;
}

/** Returns up to `most` items that match, from an index in one direction. */
function matching<T>(all: ListSource<T>, matches: (item: T) => boolean, from: number, step: 1 | -1, most: number): T[] {
  const found: T[] = [];
  for (let index = from; index >= 0 && index < all.length && found.length < most; index += step) {
    const item = all.at(index);
    if (item !== undefined && matches(item)) found.push(item);
  }
  return found;
}

function indexOfSid(all: ListSource<{ readonly sid: string }>, sid: string): number {
  if (all.indexOfSid !== undefined) return all.indexOfSid(sid);
  for (let index = 0; index < all.length; index++) if (all.at(index)?.sid === sid) return index;
  return -1;
}
