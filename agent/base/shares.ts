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

/** Time is counted in slices of this length; the last {@link SLICES} of them count. */
const SLICE_MS = 30_000;
const SLICES = 14;
/** Most addresses that are counted, each with few bytes; those beyond are one holder. */
const MAX_HOLDERS = 4096;

/** How many commands one address has had taken in, by slice of time. */
interface Holder {
  readonly slices: Uint32Array;
  sum: number;
}

/**
 * Counts the commands that each source address has had taken in of late: for longer than any of them must be remembered
 * (EXCHANGE_LIFETIME, 365 s at most). Commands before a restart do not count.
 *
 * @param most how many commands can be remembered
 */
export function createRecentShares(most: number) {
  const holders = new Map<string, Holder>();
  const all = newHolder();
  let current = 0;

  /** Forgets what is too old. */
  function turnTo(slice: number): void {
    const passed = Math.min(slice - current, SLICES);
    for (let step = 1; step <= passed; step++) {
      const at = (current + step) % SLICES;
      clear(all, at);
      for (const [address, holder] of holders) {
        clear(holder, at);
        if (holder.sum === 0) holders.delete(address);
      }
    }
    if (passed > 0) current = slice;
  }

  return {
    /**
     * Takes room for a command.
     *
     * @param taken how many commands are remembered in all
     * @param now monotonic milliseconds
     * @returns false when there is none for this address
     */
    take(address: string, taken: number, now: number): boolean {
      turnTo(Math.floor(now / SLICE_MS));
      const key = holders.has(address) || holders.size < MAX_HOLDERS ? address : OTHERS;
      const holder = holders.get(key) ?? newHolder();
      // What is remembered for longer than it must be makes room for others.
      if (!isRoomFor(holder.sum, Math.min(all.sum, taken), most)) return false;
      holders.set(key, holder);
      for (const one of [holder, all]) {
        one.sum++;
        one.slices[current % SLICES] = (one.slices[current % SLICES] ?? 0) + 1;
      }
      return true;
    },
  };
}

const OTHERS = '';

const newHolder = (): Holder => ({ slices: new Uint32Array(SLICES), sum: 0 });

function clear(holder: Holder, at: number): void {
  holder.sum -= holder.slices[at] ?? 0;
  holder.slices[at] = 0;
}
