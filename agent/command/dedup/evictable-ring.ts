import { MAX_PAYLOAD_BYTES } from '../../../shared/limits.js';
import type { SeenRequest, Slot } from './entry.js';

/**
 * Room for a key and a reply, each about as long as a datagram; a request that needs more is forgotten when it ends.
 */
const SLOT_BYTES = 2 * (MAX_PAYLOAD_BYTES + 100);

/**
 * Remembers the newest requests that may be forgotten early. At a high rate, objects that live for a thousand requests,
 * and the tables of a Map that they enter and leave, would fill V8's old generation by the megabyte. So only the bytes
 * of a request that has ended stay, in memory that is allocated once.
 *
 * @param capacity a power of 2
 */
export function createEvictableRing(capacity: number) {
  const memory = Buffer.alloc(capacity * SLOT_BYTES);
  const slots = Array.from({ length: capacity }, (_, index) => emptySlot(index * SLOT_BYTES));
  /** The newest slot for the last bits of a checksum. */
  const newest = new Array<Slot | undefined>(capacity).fill(undefined);
  let next = 0;
  let length = 0;

  function empty(slot: Slot): void {
    if (slot.running !== undefined) slot.running.forgotten = true;
    slot.running = undefined;
    slot.keyBytes = 0;
  }

  function forgetOldest(): void {
    const oldest = slots[(next + capacity - length) % capacity];
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

  function forget(seen: SeenRequest): void {
    if (seen.slot?.running === seen) empty(seen.slot);
  }

  const keyOf = ({ running, at, keyBytes }: Slot) => running?.key ?? memory.toString('latin1', at, at + keyBytes);

  /**
   * Returns a request that has ended. Its reply is a copy: another request may take the slot before the reply leaves.
   */
  function ended(slot: Slot, key: string): SeenRequest {
    const { at, keyBytes, replyBytes, expiresAt } = slot;
    const start = at + keyBytes;
    const reply = replyBytes === undefined ? undefined : Buffer.from(memory.subarray(start, start + replyBytes));
    return {
      key,
      reply,
      running: false,
      accepted: false,
      lifetime: 0,
      expiresAt,
      forgotten: false,
      slot,
      share: undefined,
    };
  }

  return {
    find(key: string, now: number): SeenRequest | undefined {
      const sum = checksum(key);
      let slot = newest[sum & (capacity - 1)];
      while (slot !== undefined && (slot.checksum !== sum || keyOf(slot) !== key)) slot = slot.older;
      if (slot === undefined) return undefined;
      return slot.running ?? (now < slot.expiresAt ? ended(slot, key) : undefined);
    },
    /** Adds a request that begins, in the slot of the oldest where no other is free. */
    begin(seen: SeenRequest): void {
      if (length === capacity) forgetOldest();
      const slot = slots[next];
      if (slot === undefined) return;
      next = (next + 1) % capacity;
      length++;
      slot.checksum = checksum(seen.key);
      slot.older = newest[slot.checksum & (capacity - 1)];
      newest[slot.checksum & (capacity - 1)] = slot;
      slot.running = seen;
      seen.slot = slot;
    },
    /** Keeps the reply of a request that has ended, until it expires; another request may have its slot by now. */
    finish(seen: SeenRequest, reply: Uint8Array | undefined): void {
      const { key, expiresAt, slot } = seen;
      if (slot?.running !== seen) return;
      if (key.length + (reply?.length ?? 0) > SLOT_BYTES) {
        empty(slot);
        return;
      }
      slot.running = undefined;
      slot.expiresAt = expiresAt;
      slot.keyBytes = memory.write(key, slot.at, 'latin1');
      slot.replyBytes = reply?.length;
      if (reply !== undefined) memory.set(reply, slot.at + slot.keyBytes);
    },
    forget,
    /** Gives up a request that runs, and is remembered elsewhere from now on; its slot is free, if it is the newest. */
    release(seen: SeenRequest): void {
      const { slot } = seen;
      forget(seen);
      seen.slot = undefined;
      seen.forgotten = false;
      const last = (next + capacity - 1) % capacity;
      if (slot === undefined || slots[last] !== slot) return;
      newest[slot.checksum & (capacity - 1)] = slot.older;
      slot.older = undefined;
      next = last;
      length--;
    },
    get length() {
      return length;
    },
  };
}

const emptySlot = (at: number): Slot => ({
  at,
  checksum: 0,
  older: undefined,
  running: undefined,
  keyBytes: 0,
  replyBytes: undefined,
  expiresAt: 0,
});

/** FNV-1a, 32 bits; keys with the same checksum are compared. */
function checksum(key: string): number {
  let sum = 0x811c9dc5;
  for (let at = 0; at < key.length; at++) sum = Math.imul(sum ^ key.charCodeAt(at), 0x01000193);
  return sum;
}
