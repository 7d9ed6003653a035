/** Bounds of a shelf. One address may have a quarter of the entries, and half of the bytes. */
export interface ShelfBounds {
  readonly entries: number;
  readonly bytes: number;
}

/** What a shelf keeps under a key. */
export interface Shelved<T> {
  readonly value: T;
  /** The IP address on whose share it counts: a host has one, but can use 65,535 ports. */
  readonly address: string;
  /** Memory of the value. */
  readonly bytes: number;
  /** Monotonic milliseconds. */
  readonly expiresAt: number;
}

/** Memory of an entry beside its value: its key, its objects, its places in tables, the header of an ArrayBuffer. */
const ENTRY_BYTES = 512;

interface Use {
  entries: number;
  bytes: number;
}

/**
 * A store bounded in entries, bytes and age, and shared fairly by addresses. An address that exceeds its share loses
 * its own entries. At the bound of all, the address that has most loses one, so that many entries of one never displace
 * the few of another. What is lost is always the entry that has not been used for longest.
 *
 * @param onDrop called for each entry that is dropped before it has expired
 */
export function createShelf<T>(bounds: ShelfBounds, onDrop: () => void = () => undefined) {
  const share: ShelfBounds = { entries: bounds.entries / 4, bytes: bounds.bytes / 2 };
  /** In the order of their last use. */
  const shelf = new Map<string, Shelved<T>>();
  let bytes = 0;

  function remove(key: string): void {
    const entry = shelf.get(key);
    if (entry === undefined) return;
    bytes -= cost(entry);
    shelf.delete(key);
  }

  function dropOldestOf(address: string): void {
    for (const [key, entry] of shelf) {
      if (entry.address !== address) continue;
      remove(key);
      onDrop();
      return;
    }
  }

  function removeExpired(now: number): void {
    for (const [key, { expiresAt }] of shelf) if (expiresAt <= now) remove(key);
  }

  function useByAddress(): Map<string, Use> {
    const uses = new Map<string, Use>();
    for (const entry of shelf.values()) {
      const use = uses.get(entry.address) ?? { entries: 0, bytes: 0 };
      use.entries++;
      use.bytes += cost(entry);
      uses.set(entry.address, use);
    }
    return uses;
  }

  /** Of several that have equally many, it is the one whose entry has not been used for longest. */
  function addressWithMost(what: keyof Use): string {
    let [most, max] = ['', 0];
    for (const [address, use] of useByAddress()) if (use[what] > max) [most, max] = [address, use[what]];
    return most;
  }

  function dropBeyondShare(address: string): void {
    for (;;) {
      const use = useByAddress().get(address);
      // One entry that is larger than a share is kept.
      if (use === undefined || use.entries === 1) return;
      if (use.entries <= share.entries && use.bytes <= share.bytes) return;
      dropOldestOf(address);
    }
  }

  return {
    get(key: string, now: number): Shelved<T> | undefined {
      const entry = shelf.get(key);
      return entry === undefined || now < entry.expiresAt ? entry : undefined;
    },
    /** Sets an entry, which is now the one used last. */
    set(key: string, entry: Shelved<T>, now: number): void {
      remove(key);
      removeExpired(now);
      shelf.set(key, entry);
      bytes += cost(entry);
      dropBeyondShare(entry.address);
      while (shelf.size > bounds.entries) dropOldestOf(addressWithMost('entries'));
      while (bytes > bounds.bytes) dropOldestOf(addressWithMost('bytes'));
    },
    remove,
  };
}

const cost = ({ bytes }: Shelved<unknown>): number => ENTRY_BYTES + bytes;
