/** What one source address holds of a store that all of them share. */
export interface Share {
  readonly holder: string;
  entries: number;
  bytes: number;
}

/**
 * Divides a store that is bounded in entries and in bytes among source addresses, so that none of them takes what the
 * others need.
 */
export function createShares(most: { readonly entries: number; readonly bytes: number }) {
  const shares = new Map<string, Share>();
  let entries = 0;
  let bytes = 0;

  function change(share: Share, moreEntries: number, moreBytes: number): void {
    share.entries += moreEntries;
    share.bytes += moreBytes;
    entries += moreEntries;
    bytes += moreBytes;
    if (share.entries === 0) shares.delete(share.holder);
  }

  return {
    /**
     * Takes room for one entry.
     *
     * @returns undefined when there is none for this holder
     */
    take(holder: string, size: number): Share | undefined {
      const share = shares.get(holder) ?? { holder, entries: 0, bytes: 0 };
      if (!isRoomFor(share.entries, entries, most.entries)) return undefined;
      if (!isRoomFor(share.bytes, bytes, most.bytes)) return undefined;
      shares.set(holder, share);
      change(share, 1, size);
      return share;
    },
    /** An entry has become larger, or smaller. */
    resize: (share: Share, moreBytes: number): void => change(share, 0, moreBytes),
    giveBack: (share: Share, size: number): void => change(share, -1, -size),
    /** Whether there is so little room that some holders get none. */
    get isScarce() {
      return most.entries - entries <= most.entries / 4 || most.bytes - bytes <= most.bytes / 4;
    },
    get bytes() {
      return bytes;
    },
  };
}

/**
 * Tells whether one who holds `held` of the `taken` may take more. The last quarter is for those that hold less than a
 * quarter, and less than is free: so even several that take all they can leave something to those that hold little.
 */
export function isRoomFor(held: number, taken: number, most: number): boolean {
  const free = most - taken;
  const quarter = most / 4;
  return free > quarter || held < Math.min(quarter, free);
}
