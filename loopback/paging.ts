/** Resources on a page when PageSize is not given, and at most (fact sheet §2). */
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

/**
 * One page of those of `all` that match.
 *
 * @param all newest first; the oldest may have gone out since the token was made
 */
export function pageOf<T extends { readonly sid: string }>(
  all: readonly T[],
  matches: (item: T) => boolean,
  { pageSize, pageToken }: PageRequest,
): Page<T> {
  const [start, end] = window(all, pageToken);
  const within = all.slice(start, end).filter(matches);
  const items = pageToken?.startsWith('PB') ? within.slice(-pageSize) : within.slice(0, pageSize);
  const [first, last] = [items.at(0), items.at(-1)];
  if (first === undefined || last === undefined) return { items };
  const older = all.slice(indexOf(all, last.sid) + 1).some(matches);
  const newer = all.slice(0, indexOf(all, first.sid)).some(matches);
  return {
    items,
    ...(older && { nextToken: `PA${last.sid}` }),
    ...(newer && { previousToken: `PB${first.sid}` }),
  };
}

function window(all: readonly { readonly sid: string }[], pageToken: string | undefined): [number, number] {
  if (pageToken === undefined) return [0, all.length];
  const at = indexOf(all, pageToken.slice(2));
  // The oldest go out first: when the token's own has gone, so has everything after it, and nothing before it.
  const place = at === -1 ? all.length : at;
  return pageToken.startsWith('PB') ? [0, place] : [place + 1, all.length];
}

const indexOf = (all: readonly { readonly sid: string }[], sid: string) => all.findIndex((item) => item.sid === sid);
