import { randomBytes } from 'node:crypto';

/** The table is divided, so that growing a part of it takes no noticeable time. A power of 2. */
const PARTS = 64;
const PART_BITS = 6;
/** Places of a part at first. A power of 2. */
const INITIAL_PLACES = 16;
/** A part grows when it is filled to this share. */
const MAX_LOAD = 0.7;
const EMPTY = 0;
const NOTHING: readonly number[] = [];

/** One part: pairs of a hash and a number, in open addressing with linear probing. */
interface Part {
  pairs: Uint32Array;
  count: number;
}

/**
 * Finds the numbers of keys in memory: eight bytes for each, at most 23 with the free places. Keys with the same hash are
 * found together, which of a million happens to one in four thousand; the reader compares the keys themselves.
 */
export function createKeyIndex() {
  // Whoever sends commands must not be able to choose keys that all get the same hash.
  const salt = new Uint32Array(randomBytes(16).buffer.slice(0, 16)).map((word) => word | 1);
  const parts: Part[] = Array.from({ length: PARTS }, () => ({ pairs: new Uint32Array(2 * INITIAL_PLACES), count: 0 }));
  let size = 0;

  const partOf = (hash: number): Part | undefined => parts[hash >>> (32 - PART_BITS)];

  /** The place is in the low bits, the part in the high ones. */
  const placeOf = (hash: number, pairs: Uint32Array): number => hash & (pairs.length / 2 - 1);

  function grow(part: Part): void {
    const old = part.pairs;
    part.pairs = new Uint32Array(old.length * 2);
    for (let at = 0; at < old.length; at += 2) {
      if (wordAt(old, at) !== EMPTY) put(part.pairs, wordAt(old, at), wordAt(old, at + 1));
    }
  }

  function put(pairs: Uint32Array, hash: number, number: number): void {
    const places = pairs.length / 2;
    let place = placeOf(hash, pairs);
    while (wordAt(pairs, 2 * place) !== EMPTY) place = (place + 1) & (places - 1);
    pairs[2 * place] = hash;
    pairs[2 * place + 1] = number;
  }

  return {
    /** Returns the hash of a key of 32 bytes. */
    hashOf(key: Uint8Array): number {
      let hash = 0;
      for (let word = 0; word < 4; word++) {
        const at = 4 * word;
        const value =
          byteAt(key, at) | (byteAt(key, at + 1) << 8) | (byteAt(key, at + 2) << 16) | (byteAt(key, at + 3) << 24);
        hash = (hash + Math.imul(value, wordAt(salt, word))) | 0;
      }
      // The low bits of a product depend on the low bits of its factors only.
      hash ^= hash >>> 15;
      return hash >>> 0 || 1;
    },
    add(hash: number, number: number): void {
      const part = partOf(hash);
      if (part === undefined) return;
      if (part.count >= (part.pairs.length / 2) * MAX_LOAD) grow(part);
      put(part.pairs, hash, number);
      part.count++;
      size++;
    },
    /** Returns the numbers of the keys with this hash. */
    find(hash: number): readonly number[] {
      const pairs = partOf(hash)?.pairs;
      if (pairs === undefined) return NOTHING;
      const mask = pairs.length / 2 - 1;
      let found: number[] | undefined;
      for (let place = placeOf(hash, pairs); ; place = (place + 1) & mask) {
        const at = wordAt(pairs, 2 * place);
        if (at === EMPTY) return found ?? NOTHING;
        if (at !== hash) continue;
        found ??= [];
        found.push(wordAt(pairs, 2 * place + 1));
      }
    },
    remove(hash: number, number: number): void {
      const part = partOf(hash);
      if (part === undefined) return;
      const { pairs } = part;
      const mask = pairs.length / 2 - 1;
      let place = placeOf(hash, pairs);
      while (wordAt(pairs, 2 * place) !== hash || wordAt(pairs, 2 * place + 1) !== number) {
        if (wordAt(pairs, 2 * place) === EMPTY) return;
        place = (place + 1) & mask;
      }
      part.count--;
      size--;
      closeGap(pairs, place, placeOf);
    },
    get size() {
      return size;
    },
  };
}

export type KeyIndex = ReturnType<typeof createKeyIndex>;

/** Moves what follows a free place, so that a search does not end there (Knuth, volume 3, 6.4, algorithm R). */
function closeGap(pairs: Uint32Array, gap: number, placeOf: (hash: number, pairs: Uint32Array) => number): void {
  const mask = pairs.length / 2 - 1;
  let free = gap;
  for (let place = (free + 1) & mask; wordAt(pairs, 2 * place) !== EMPTY; place = (place + 1) & mask) {
    const home = placeOf(wordAt(pairs, 2 * place), pairs);
    // Whether its home lies cyclically behind the free place and not behind its own: then it stays.
    if (((place - home) & mask) < ((place - free) & mask)) continue;
    pairs[2 * free] = wordAt(pairs, 2 * place);
    pairs[2 * free + 1] = wordAt(pairs, 2 * place + 1);
    free = place;
  }
  pairs[2 * free] = EMPTY;
  pairs[2 * free + 1] = 0;
}

const wordAt = (words: Uint32Array, at: number): number => words[at] ?? 0;
const byteAt = (bytes: Uint8Array, at: number): number => bytes[at] ?? 0;
