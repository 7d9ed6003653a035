import type { SeenRequest } from './entry.js';
import { createEvictableRing } from './evictable-ring.js';

/** Most requests in the table; each is remembered for the exchange lifetime of its peer. */
export const MAX_REMEMBERED = 16_384;
/** Most of them that may be forgotten early: enough for repeats that follow at once. */
export const MAX_EVICTABLE = 1024;
/** Most bytes of all requests and replies in the table; those that may be forgotten early have memory of their own. */
export const MAX_REMEMBERED_BYTES = 8_388_608;

/**
 * Remembers requests, so that a repeat is answered and does not run again. At the bound a new request takes the place
 * of an evictable one, or is refused: a request that must not run twice is never forgotten before it expires.
 */
export function createDuplicateTable() {
  const known = new Map<string, SeenRequest>();
  /** Entries that have ended, by their lifetime: each queue is in the order of expiry. Running entries are in none. */
  const ended = new Map<number, ReturnType<typeof createQueue>>();
  const evictable = createEvictableRing(MAX_EVICTABLE);
  let bytes = 0;

  function forget(seen: SeenRequest): void {
    if (seen.forgotten) return;
    if (seen.slot !== undefined) {
      evictable.forget(seen);
      return;
    }
    seen.forgotten = true;
    bytes -= seen.key.length + (seen.reply?.length ?? 0);
    known.delete(seen.key);
  }

  function forgetExpired(now: number): void {
    for (const queue of ended.values()) {
      for (let first = queue.first(); first !== undefined; first = queue.first()) {
        if (!first.forgotten && now < first.expiresAt) break;
        forget(first);
        queue.shift();
      }
    }
  }

  function expireLater(seen: SeenRequest): void {
    const queue = ended.get(seen.lifetime) ?? createQueue();
    ended.set(seen.lifetime, queue);
    queue.push(seen);
  }

  function makeRoom(): boolean {
    let others = evictable.length;
    for (; others > 0 && known.size + others >= MAX_REMEMBERED; others--) evictable.forgetOldest();
    return known.size + others < MAX_REMEMBERED && bytes < MAX_REMEMBERED_BYTES;
  }

  return {
    find(key: string, now: number): SeenRequest | undefined {
      const seen = known.get(key);
      if (seen === undefined) return evictable.find(key, now);
      return seen.running || now < seen.expiresAt ? seen : undefined;
    },
    /**
     * @param isEvictable whether it may be forgotten early, as running it again does no harm
     * @param lifetime how long it is remembered after it has ended, in milliseconds; of few different values
     * @returns undefined when there is no room, and the request must be refused as busy
     */
    begin(key: string, isEvictable: boolean, lifetime: number, now: number): SeenRequest | undefined {
      forgetExpired(now);
      const before = known.get(key);
      if (before !== undefined) forget(before);
      if (!makeRoom()) return undefined;
      const seen: SeenRequest = {
        key,
        reply: undefined,
        running: true,
        accepted: false,
        lifetime,
        expiresAt: now + lifetime,
        forgotten: false,
        slot: undefined,
      };
      if (isEvictable) evictable.begin(seen);
      else {
        known.set(key, seen);
        bytes += key.length;
      }
      return seen;
    },
    /** Keeps the reply of a request that has ended; from now on it is remembered for its lifetime. */
    finish(seen: SeenRequest, reply: Uint8Array | undefined, now = performance.now()): void {
      seen.running = false;
      seen.expiresAt = now + seen.lifetime;
      if (seen.slot !== undefined) evictable.finish(seen, reply);
      else if (!seen.forgotten) {
        seen.reply = reply;
        bytes += reply?.length ?? 0;
        expireLater(seen);
      }
    },
    /** Forgets a request that did not run: when it comes again it is new. */
    forget,
    /**
     * Tells whether commands are refused although entries have expired: a fault of this table, which a restart ends.
     * Reads the whole table, and only when it is full.
     */
    isClogged(now: number): boolean {
      forgetExpired(now);
      if (known.size < MAX_REMEMBERED && bytes < MAX_REMEMBERED_BYTES) return false;
      for (const { running, expiresAt } of known.values()) if (!running && expiresAt <= now) return true;
      return false;
    },
    get size() {
      return known.size + evictable.length;
    },
  };
}

export type DuplicateTable = ReturnType<typeof createDuplicateTable>;

/**
 * First in, first out. A Map's or Set's own order would do, but finding its first again passes all that was deleted.
 */
function createQueue() {
  let items: SeenRequest[] = [];
  let head = 0;
  return {
    first: (): SeenRequest | undefined => items[head],
    shift(): SeenRequest | undefined {
      const first = items[head];
      if (first !== undefined) head++;
      if (head > 256 && head * 2 > items.length) {
        items = items.slice(head);
        head = 0;
      }
      return first;
    },
    push(seen: SeenRequest): void {
      // Forgotten requests behind one that stays would otherwise accumulate.
      if (items.length - head >= MAX_REMEMBERED + MAX_EVICTABLE) {
        items = items.slice(head).filter(({ forgotten }) => !forgotten);
        head = 0;
      }
      items.push(seen);
    },
  };
}
