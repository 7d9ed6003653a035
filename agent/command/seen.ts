/** Most commands that are remembered; each is remembered for the exchange lifetime of its peer. */
export const MAX_SEEN = 16_384;
/** Most of them that may be forgotten early: enough for what is repeated at once. */
export const MAX_DISPOSABLE = 1024;
/** Most bytes of them and their replies. */
export const MAX_SEEN_BYTES = 8_388_608;

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
export function createSeen() {
  const known = new Map<string, Seen>();
  const kept = createQueue();
  const disposable = createQueue();
  let bytes = 0;

  function forget(seen: Seen): void {
    if (seen.forgotten) return;
    seen.forgotten = true;
    bytes -= seen.key.length + (seen.reply?.length ?? 0);
    known.delete(seen.key);
  }

  /** Lifetimes differ little, so that those that have run out are at the front, or soon will be. */
  function forgetExpired(queue: Queue, now: number): void {
    for (let first = queue.first(); first !== undefined; first = queue.first()) {
      if (!first.forgotten && (first.running || now < first.expiresAt)) break;
      forget(first);
      queue.shift();
    }
  }

  const isFull = () => known.size >= MAX_SEEN || bytes >= MAX_SEEN_BYTES;

  function makeRoom(isDisposable: boolean): boolean {
    while (disposable.length > 0 && (isFull() || (isDisposable && disposable.length >= MAX_DISPOSABLE))) {
      const first = disposable.shift();
      if (first !== undefined) forget(first);
    }
    return !isFull();
  }

  return {
    find(key: string, now: number): Seen | undefined {
      const seen = known.get(key);
      return seen !== undefined && (seen.running || now < seen.expiresAt) ? seen : undefined;
    },
    /**
     * @param isDisposable it may be forgotten before its time, as running it again does no harm
     * @returns undefined when there is no room, and the command must be refused as busy
     */
    begin(key: string, isDisposable: boolean, expiresAt: number, now: number): Seen | undefined {
      forgetExpired(kept, now);
      forgetExpired(disposable, now);
      const before = known.get(key);
      if (before !== undefined) forget(before);
      if (!makeRoom(isDisposable)) return undefined;
      const seen: Seen = {
        key,
        reply: undefined,
        running: true,
        accepted: false,
        lifetime: expiresAt - now,
        expiresAt,
        forgotten: false,
      };
      known.set(key, seen);
      bytes += key.length;
      (isDisposable ? disposable : kept).push(seen);
      return seen;
    },
    /** The command has ended, and this was its answer: from now on it is remembered for its lifetime. */
    finish(seen: Seen, reply: Uint8Array | undefined, now = performance.now()): void {
      seen.running = false;
      seen.expiresAt = now + seen.lifetime;
      if (seen.forgotten) return;
      seen.reply = reply;
      bytes += reply?.length ?? 0;
    },
    /** It was not run after all: when it comes again it is new. */
    forget,
    get size() {
      return known.size;
    },
  };
}

export type SeenCommands = ReturnType<typeof createSeen>;

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
      if (items.length - head >= MAX_SEEN + MAX_DISPOSABLE) {
        items = items.slice(head).filter(({ forgotten }) => !forgotten);
        head = 0;
      }
      items.push(seen);
    },
    get length() {
      return items.length - head;
    },
  };
}

type Queue = ReturnType<typeof createQueue>;
