/** Resources on a page when PageSize is not given, and at most (docs/vendor-facts.md, "API: lists"). */
export const DEFAULT_PAGE_SIZE = 50;
export const MAX_PAGE_SIZE = { kore: 100, twilio: 1000 } as const;

/**
 * A place in a list that is newest first: `PA` and a SID for what comes after it, `PB` and a SID for what comes
 * before. A SID, not an offset, so that a page stays the same while new resources arrive.
 */
export const PAGE_TOKEN = /^P[AB][A-Z]{2}[0-9a-fA-F]{32}$/;

export interface PageRequest {
  readonly pageSize: number;
  /** The client's own count of pages; it chooses nothing. */
  readonly page: number;
  readonly pageToken?: string | undefined;
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly nextToken?: string;
  readonly previousToken?: string;
}

/** What pages are made of, newest first; an array is one. */
export interface Listed<T> {
  readonly length: number;
  at(index: number): T | undefined;
  /** Where the resource with this SID is, -1 when it has gone out; without this it is looked for. */
  placeOf?(sid: string): number;
}

/**
 * One page of those of `all` that match. No more of them is looked at than the page and its neighbours take.
 *
 * @param all newest first; the oldest may have gone out since the token was made
 */
export function pageOf<T extends { readonly sid: string }>(
  all: Listed<T>,
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
  // Behind the page there is what did not fit on it; before it, as a rule, what the token stands for.
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

/** Where a page begins, on the side that its token names. */
function startOf(all: Listed<{ readonly sid: string }>, pageToken: string | undefined, backward: boolean): number {
  if (pageToken === undefined) return 0;
  const at = placeOf(all, pageToken.slice(2));
  // The oldest go out first: when the token's own has gone, so has everything after it, and nothing before it.
  const place = at === -1 ? all.length : at;
  return backward ? place - 1 : place + 1;
}

/** So many that match, from an index on in one direction. */
function matching<T>(all: Listed<T>, matches: (item: T) => boolean, from: number, step: 1 | -1, most: number): T[] {
  const found: T[] = [];
  for (let index = from; index >= 0 && index < all.length && found.length < most; index += step) {
    const item = all.at(index);
    if (item !== undefined && matches(item)) found.push(item);
  }
  return found;
}

function placeOf(all: Listed<{ readonly sid: string }>, sid: string): number {
  if (all.placeOf !== undefined) return all.placeOf(sid);
  for (let index = 0; index < all.length; index++) if (all.at(index)?.sid === sid) return index;
  return -1;
}
