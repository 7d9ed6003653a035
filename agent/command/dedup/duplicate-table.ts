import { MAX_PAYLOAD_BYTES } from '../../../shared/limits.js';
import { createFifo, type Fifo } from '../../base/fifo.js';
import { ownCopy } from '../../base/memory.js';
import { createShares } from '../../base/shares.js';
import { beginRequest, type DatagramKey, type SeenRequest, textOf } from './entry.js';
import { createEvictableRing } from './evictable-ring.js';

/** Most requests that are not forgotten early; each is remembered for the exchange lifetime of its peer. */
export const MAX_REMEMBERED = 16_384;
/** Most bytes that they and their replies take. */
export const MAX_REMEMBERED_BYTES = 8_388_608;
/** Most requests that may be forgotten early: enough for repeats that follow at once. They have memory of their own. */
export const MAX_EVICTABLE = 1024;
/** Memory that a request takes besides the bytes of its key and its reply, as measured on 64 bits. */
export const ENTRY_BYTES = 512;

/**
 * Remembers requests, so that a repeat is answered and does not run again. One that must not run twice is never forgotten
 * before it expires: at the bound further ones are refused. Each source address has its share of the room.
 */
export function createDuplicateTable() {
  const kept = new Map<string, SeenRequest>();
  /** Kept requests that have ended, by their lifetime: each queue is in the order of expiry. Running ones are in none. */
  const ended = new Map<number, Fifo<SeenRequest>>();
  const evictable = createEvictableRing(MAX_EVICTABLE);
  /** Requests that may run twice, but not at once; there are no more than commands that run or wait. */
  const repeatable = new Map<string, SeenRequest>();
  /** Until then some of them may be in the evictable ring, in monotonic milliseconds. */
  let repeatableUntil = Number.NEGATIVE_INFINITY;
  const shares = createShares({ entries: MAX_REMEMBERED, bytes: MAX_REMEMBERED_BYTES });

  function forget(seen: SeenRequest): void {
    if (seen.share === undefined) evictable.forget(seen);
    else {
      shares.giveBack(seen.share, sizeOf(seen));
      seen.share = undefined;
      seen.forgotten = true;
      kept.delete(seen.key);
    }
  }

  function forgetExpired(now: number): void {
    for (const queue of ended.values()) {
      for (let seen = queue.first; seen !== undefined; seen = queue.first) {
        if (!seen.forgotten && now < seen.expiresAt) break;
        if (!seen.forgotten) forget(seen);
        queue.shift();
      }
    }
  }

  function expireLater(seen: SeenRequest): void {
    const known = ended.get(seen.lifetime) ?? createFifo();
    const queue = known.length < MAX_REMEMBERED ? known : withoutForgotten(known);
    ended.set(seen.lifetime, queue);
    queue.push(seen);
  }

  function begin(key: string, lifetime: number, now: number): SeenRequest {
    const seen = beginRequest(lifetime, now);
    seen.key = key;
    evictable.begin(seen);
    return seen;
  }

  /** Finds a request that must not run twice, or that runs. */
  function findLasting(key: string, now: number): SeenRequest | undefined {
    const seen = kept.get(key);
    return seen !== undefined && (seen.running || now < seen.expiresAt) ? seen : repeatable.get(key);
  }

  return {
    find: (key: string, now: number): SeenRequest | undefined => findLasting(key, now) ?? evictable.find(key, now),
    /** Finds a request that may run twice: mostly without making its key, as there is none in the table. */
    findRepeatable(key: DatagramKey, now: number): SeenRequest | undefined {
      const isInRing = now < repeatableUntil;
      if (!isInRing && kept.size === 0 && repeatable.size === 0) return undefined;
      const text = textOf(key);
      return findLasting(text, now) ?? (isInRing ? evictable.find(text, now) : undefined);
    },
    /** Remembers a request that begins, until others take its memory; see {@link beginRequest}. */
    begin,
    /** Remembers a request that may run twice while it runs. */
    addRepeatable(seen: SeenRequest, key: DatagramKey): void {
      seen.key = textOf(key);
      repeatable.set(seen.key, seen);
    },
    /** Remembers a request that may run twice, and is about to end, until others take its memory. */
    addEnding(seen: SeenRequest, key: DatagramKey, now: number): void {
      if (seen.slot !== undefined) return;
      seen.key = textOf(key);
      evictable.begin(seen);
      repeatableUntil = Math.max(repeatableUntil, now + seen.lifetime);
    },
    /**
     * Keeps a request that has begun: its command is about to run, and must not run twice.
     *
     * @param holder the source address, which it counts for
     * @returns false when there is no room, and the request must be refused as busy
     */
    keep(seen: SeenRequest, holder: string, now: number): boolean {
      if (seen.share !== undefined) return true;
      forgetExpired(now);
      const before = kept.get(seen.key);
      if (before !== undefined) forget(before);
      const share = shares.take(holder, sizeOf(seen));
      if (share === undefined) return false;
      evictable.release(seen);
      seen.share = share;
      kept.set(seen.key, seen);
      return true;
    },
    /** Remembers the reply of a request that has ended; from now on it is remembered for its lifetime. */
    finish(seen: SeenRequest, reply: Uint8Array | undefined, now = performance.now()): void {
      const size = sizeOf(seen);
      seen.running = false;
      seen.expiresAt = now + seen.lifetime;
      if (repeatable.get(seen.key) === seen) repeatable.delete(seen.key);
      if (seen.share === undefined) evictable.finish(seen, reply);
      else {
        seen.reply = reply && ownCopy(reply);
        shares.resize(seen.share, sizeOf(seen) - size);
        expireLater(seen);
      }
    },
    /** Forgets a request that did not run: when it comes again it is new. */
    forget,
    /**
     * Tells whether commands are refused although entries have expired: a fault of this table, which a restart ends.
     * Reads the whole table, and only when there is little room.
     */
    isClogged(now: number): boolean {
      forgetExpired(now);
      if (!shares.isScarce) return false;
      for (const { running, expiresAt } of kept.values()) if (!running && expiresAt <= now) return true;
      return false;
    },
    get size() {
      return kept.size + repeatable.size + evictable.length;
    },
    /** Memory that the kept requests and their replies take, in bytes. */
    get bytes() {
      return shares.bytes;
    },
  };
}

export type DuplicateTable = ReturnType<typeof createDuplicateTable>;

/** While a request runs, room is kept for a reply of any length. */
const sizeOf = ({ key, running, reply }: SeenRequest): number =>
  ENTRY_BYTES + key.length + (running ? MAX_PAYLOAD_BYTES : (reply?.length ?? 0));

/** Forgotten requests behind one that stays would otherwise accumulate. */
function withoutForgotten(queue: Fifo<SeenRequest>): Fifo<SeenRequest> {
  const rest = createFifo<SeenRequest>();
  for (let seen = queue.shift(); seen !== undefined; seen = queue.shift()) if (!seen.forgotten) rest.push(seen);
  return rest;
}
