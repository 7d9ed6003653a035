/** Bytes of a key that the filter uses; keys are digests, so that any bytes serve. */
export const PREFIX_BYTES = 4;
/** With as many keys as there may be entries, about one new key in 16 is looked up in vain. */
const BYTES_PER_ENTRY = 4;

/**
 * A Bloom filter with one hash function: tells of nearly every new command, without reading the disk, that the journal
 * does not have it. Bits are cleared only when the filter is filled again, so that removing an entry need not update
 * it.
 *
 * @param entries the bound of the journal's entries
 */
export function createKeyFilter(entries: number) {
  const bits = new Uint8Array(entries * BYTES_PER_ENTRY);
  let filled = false;
  let added = 0;

  function placeOf(keys: Uint8Array, at: number): number {
    let prefix = 0;
    for (let index = at; index < at + PREFIX_BYTES; index++) prefix = prefix * 256 + byteOf(keys, index);
    return prefix % (bits.length * 8);
  }

  function add(keys: Uint8Array, at = 0): void {
    const place = placeOf(keys, at);
    bits[place >>> 3] = byteOf(bits, place >>> 3) | (1 << (place & 7));
    added++;
  }

  return {
    add: (key: Uint8Array): void => add(key),
    /** Returns false when no entry has this key. Until the filter has been filled, any entry may. */
    mayHave(key: Uint8Array): boolean {
      const place = placeOf(key, 0);
      return !filled || (byteOf(bits, place >>> 3) & (1 << (place & 7))) !== 0;
    },
    /** Whether the filter should be filled: it never was, or many keys were added since. */
    get isWorn(): boolean {
      return !filled || added >= entries;
    },
    /** @param prefixes the first bytes of the keys of all entries, one after the other */
    fill(prefixes: Uint8Array): void {
      bits.fill(0);
      for (let at = 0; at < prefixes.length; at += PREFIX_BYTES) add(prefixes, at);
      filled = true;
      added = 0;
    },
  };
}

const byteOf = (bytes: Uint8Array, index: number): number => bytes[index] ?? 0;
