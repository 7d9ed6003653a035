import { createEvictableRing, type Place } from './evictable-ring.js';

/** Most commands that are remembered; each is remembered for the exchange lifetime of its peer. */
export const MAX_REMEMBERED = 16_384;
/** Most of them that may be forgotten early: enough for what is repeated at once. */
export const MAX_EVICTABLE = 1024;
/** Most bytes of them and their replies; those that may be forgotten early have memory of their own. */
export const MAX_REMEMBERED_BYTES = 8_388_608;

/** A command that has come before. */
export interface Seen {
  readonly key: string;
  /** What it was answered, to be sent again; undefined while it runs, and when nothing was sent. */
  reply: Uint8Array | undefined;
  running: boolean;
  /** Whether its sender has been told that the answer comes later. */
  accepted: boolean;
  /** How long it is remembered after it has ended, in milliseconds. */
  readonly lifetime: number;
  /** Monotonic milliseconds; what still runs does not expire. */
  expiresAt: number;
  /** Whether it has been forgotten, so that its reply is not kept. */
  forgotten: boolean;
  /** Where it is remembered, if it may be forgotten early. */
  place: Place | undefined;
}

/**
 * What a datagram is known by when it comes again: who sent it, and its bytes, in which its token or id and its
 * message ID are.
 */
export function datagramKey(peer: string, bytes: Buffer): string {
  return `${peer}\n${bytes.toString('latin1')}`;
}

/**
 * Remembers datagrams, so that one that comes again is answered and not run again. At the bound a new one is taken
 * only in the place of a disposable one: what must not run twice is never forgotten before its time.
 */
export function createDuplicateTable() {
  const known = new Map<string, Seen>();
  /** Entries that have ended, by their lifetime: each queue is in the order of expiry. Running entries are in none. */
  const ended = new Map<number, ReturnType<typeof createQueue>>();
  const disposable = createEvictableRing(MAX_EVICTABLE);
  let bytes = 0;

  function forget(seen: Seen): void {
    if (seen.forgotten) return;
    if (seen.place !== undefined) {
      disposable.forget(seen);
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

  function expireLater(seen: Seen): void {
    const queue = ended.get(seen.lifetime) ?? createQueue();
    ended.set(seen.lifetime, queue);
    queue.push(seen);
  }

  const hasRoom = () => known.size + disposable.length < MAX_REMEMBERED;

  function makeRoom(): boolean {
    while (disposable.length > 0 && !hasRoom()) disposable.forgetOldest();
    return hasRoom() && bytes < MAX_REMEMBERED_BYTES;
  }

  return {
    find(key: string, now: number): Seen | undefined {
      const seen = known.get(key);
      if (seen === undefined) return disposable.find(key, now);
      return seen.running || now < seen.expiresAt ? seen : undefined;
    },
    /**
     * @param isDisposable it may be forgotten before its time, as running it again does no harm
     * @param lifetime how long it is remembered after it has ended, in milliseconds; of few different values
     * @returns undefined when there is no room, and the command must be refused as busy
     */
    begin(key: string, isDisposable: boolean, lifetime: number, now: number): Seen | undefined {
      forgetExpired(now);
      const before = known.get(key);
      if (before !== undefined) forget(before);
      if (!makeRoom()) return undefined;
      const seen: Seen = {
        key,
        reply: undefined,
        running: true,
        accepted: false,
        lifetime,
        expiresAt: now + lifetime,
        forgotten: false,
        place: undefined,
      };
      if (isDisposable) disposable.begin(seen);
      else {
        known.set(key, seen);
        bytes += key.length;
      }
      return seen;
    },
    /** The command has ended, and this was its answer: from now on it is remembered for its lifetime. */
    finish(seen: Seen, reply: Uint8Array | undefined, now = performance.now()): void {
      seen.running = false;
      seen.expiresAt = now + seen.lifetime;
      if (seen.place !== undefined) disposable.finish(seen, reply);
      else if (!seen.forgotten) {
        seen.reply = reply;
        bytes += reply?.length ?? 0;
        expireLater(seen);
      }
    },
    /** It was not run after all: when it comes again it is new. */
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
      return known.size + disposable.length;
    },
  };
}

export type DuplicateTable = ReturnType<typeof createDuplicateTable>;

/** First in, first out. A Map's or Set's own order would do, but finding its first again passes all that was deleted. */
function createQueue() {
  let items: Seen[] = [];
  let head = 0;
  return {
    first: (): Seen | undefined => items[head],
    shift(): Seen | undefined {
      const first = items[head];
      if (first !== undefined) head++;
      if (head > 256 && head * 2 > items.length) {
        items = items.slice(head);
        head = 0;
      }
      return first;
    },
    push(seen: Seen): void {
      // What is forgotten behind one that stays would otherwise pile up.
      if (items.length - head >= MAX_REMEMBERED + MAX_EVICTABLE) {
        items = items.slice(head).filter(({ forgotten }) => !forgotten);
        head = 0;
      }
      items.push(seen);
    },
  };
}
