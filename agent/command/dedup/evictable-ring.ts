import { MAX_PAYLOAD_BYTES } from '../../../shared/limits.js';
import type { Seen } from './duplicate-table.js';

/** Room for a key and a reply, each about as long as a datagram; what needs more is forgotten when it has ended. */
const PLACE_BYTES = 2 * (MAX_PAYLOAD_BYTES + 100);

/** What one command is remembered in, and after it another. */
export interface Place {
  /** Where its bytes begin in the memory that all share: the key's, and behind them the reply's. */
  readonly at: number;
  checksum: number;
  /** The one before it with the same last bits in its checksum. */
  older: Place | undefined;
  /** While the command runs. */
  running: Seen | undefined;
  /** 0 while it runs, and when it is forgotten. */
  keyBytes: number;
  /** Undefined when nothing was sent. */
  replyBytes: number | undefined;
  expiresAt: number;
}

/**
 * Remembers the newest of the commands that may be forgotten early. At a high rate, objects that live for a thousand
 * commands, and the tables of a Map that they come into and go from, would fill V8's old generation by the megabyte.
 * So all that stays of a command that has ended is bytes, in memory that is taken once.
 *
 * @param capacity a power of 2
 */
export function createEvictableRing(capacity: number) {
  const memory = Buffer.alloc(capacity * PLACE_BYTES);
  const places = Array.from({ length: capacity }, (_, index) => emptyPlace(index * PLACE_BYTES));
  /** The newest place for the last bits of a checksum. */
  const newest = new Array<Place | undefined>(capacity).fill(undefined);
  let next = 0;
  let length = 0;

  function empty(place: Place): void {
    if (place.running !== undefined) place.running.forgotten = true;
    place.running = undefined;
    place.keyBytes = 0;
  }

  function forgetOldest(): void {
    const oldest = places[(next + capacity - length) % capacity];
    if (oldest === undefined) return;
    empty(oldest);
    length--;
    // It is the last of its chain, being the oldest of all.
    const bucket = oldest.checksum & (capacity - 1);
    let newer = newest[bucket];
    if (newer === oldest) newest[bucket] = undefined;
    while (newer !== undefined && newer.older !== oldest) newer = newer.older;
    if (newer !== undefined) newer.older = undefined;
  }

  const keyOf = ({ running, at, keyBytes }: Place) => running?.key ?? memory.toString('latin1', at, at + keyBytes);

  /** A command that has ended, as it was. Its reply is a copy: the place may be another's before the reply has left. */
  function ended(place: Place, key: string): Seen {
    const { at, keyBytes, replyBytes, expiresAt } = place;
    const start = at + keyBytes;
    const reply = replyBytes === undefined ? undefined : Buffer.from(memory.subarray(start, start + replyBytes));
    return { key, reply, running: false, accepted: false, lifetime: 0, expiresAt, forgotten: false, place };
  }

  return {
    find(key: string, now: number): Seen | undefined {
      const sum = checksum(key);
      let place = newest[sum & (capacity - 1)];
      while (place !== undefined && (place.checksum !== sum || keyOf(place) !== key)) place = place.older;
      if (place === undefined) return undefined;
      return place.running ?? (now < place.expiresAt ? ended(place, key) : undefined);
    },
    /** Takes in one that begins, in the place of the oldest where there is no other. */
    begin(seen: Seen): void {
      if (length === capacity) forgetOldest();
      const place = places[next];
      if (place === undefined) return;
      next = (next + 1) % capacity;
      length++;
      place.checksum = checksum(seen.key);
      place.older = newest[place.checksum & (capacity - 1)];
      newest[place.checksum & (capacity - 1)] = place;
      place.running = seen;
      seen.place = place;
    },
    /** It has ended, and is remembered until it expires; another may have its place by now. */
    finish(seen: Seen, reply: Uint8Array | undefined): void {
      const { key, expiresAt, place } = seen;
      if (place?.running !== seen) return;
      if (key.length + (reply?.length ?? 0) > PLACE_BYTES) {
        empty(place);
        return;
      }
      place.running = undefined;
      place.expiresAt = expiresAt;
      place.keyBytes = memory.write(key, place.at, 'latin1');
      place.replyBytes = reply?.length;
      if (reply !== undefined) memory.set(reply, place.at + place.keyBytes);
    },
    forget(seen: Seen): void {
      if (seen.place?.running === seen) empty(seen.place);
    },
    forgetOldest,
    get length() {
      return length;
    },
  };
}

const emptyPlace = (at: number): Place => ({
  at,
  checksum: 0,
  older: undefined,
  running: undefined,
  keyBytes: 0,
  replyBytes: undefined,
  expiresAt: 0,
});

/** FNV-1a, 32 bits; keys that have the same are told apart by themselves. */
function checksum(key: string): number {
  let sum = 0x811c9dc5;
  for (let at = 0; at < key.length; at++) sum = Math.imul(sum ^ key.charCodeAt(at), 0x01000193);
  return sum;
}
