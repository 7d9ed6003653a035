import { createHash } from 'node:crypto';

/** Most commands that are remembered; each is remembered for the exchange lifetime of its peer. */
export const MAX_SEEN = 16_384;
/** Most bytes of their replies. */
export const MAX_SEEN_BYTES = 8_388_608;
/** A datagram up to this length is its own key; hashing a short one would take longer than all else. */
const PLAIN_KEY_BYTES = 96;

/** A command that has come before. */
export interface Seen {
  readonly key: string;
  /** What it was answered, to be sent again; undefined while it runs, and when nothing was sent. */
  reply: Uint8Array | undefined;
  running: boolean;
  /** Whether its sender has been told that the answer comes later. */
  accepted: boolean;
  /** Whether it may be forgotten before its time, as running it again does no harm. */
  readonly disposable: boolean;
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
  const digest =
    bytes.length <= PLAIN_KEY_BYTES ? bytes.toString('latin1') : createHash('sha256').update(bytes).digest('base64');
  return `${peer}\n${digest}`;
}

/**
 * Remembers datagrams, so that one that comes again is answered and not run again. At the bound a new one is taken
 * only in the place of a disposable one: what must not run twice is never forgotten before its time.
 */
export function createSeen() {
  const known = new Map<string, Seen>();
  let replyBytes = 0;
  /** Keys of disposable ones, oldest first. */
  const disposable = new Set<string>();

  function forget(key: string): void {
    const seen = known.get(key);
    if (seen === undefined) return;
    seen.forgotten = true;
    replyBytes -= seen.reply?.length ?? 0;
    known.delete(key);
    disposable.delete(key);
  }

  /** Lifetimes differ little, so that those that have run out are at the front, or soon will be. */
  function forgetExpired(now: number): void {
    for (const [key, seen] of known) {
      if (now < seen.expiresAt) break;
      if (!seen.running) forget(key);
    }
  }

  function makeRoom(): boolean {
    for (const key of disposable) {
      if (known.size < MAX_SEEN && replyBytes < MAX_SEEN_BYTES) break;
      forget(key);
    }
    return known.size < MAX_SEEN && replyBytes < MAX_SEEN_BYTES;
  }

  return {
    find(key: string, now: number): Seen | undefined {
      const seen = known.get(key);
      return seen !== undefined && (seen.running || now < seen.expiresAt) ? seen : undefined;
    },
    /** @returns undefined when there is no room, and the command must be refused as busy */
    begin(key: string, isDisposable: boolean, expiresAt: number, now: number): Seen | undefined {
      forgetExpired(now);
      if (known.has(key)) forget(key);
      if (!makeRoom()) return undefined;
      const seen: Seen = {
        key,
        reply: undefined,
        running: true,
        accepted: false,
        disposable: isDisposable,
        lifetime: expiresAt - now,
        expiresAt,
        forgotten: false,
      };
      known.set(key, seen);
      if (isDisposable) disposable.add(key);
      return seen;
    },
    /** The command has ended, and this was its answer: from now on it is remembered for its lifetime. */
    finish(seen: Seen, reply: Uint8Array | undefined, now = performance.now()): void {
      seen.running = false;
      seen.expiresAt = now + seen.lifetime;
      if (seen.forgotten) return;
      seen.reply = reply;
      replyBytes += reply?.length ?? 0;
    },
    /** It was not run after all: when it comes again it is new. */
    forget: ({ key }: Seen): void => forget(key),
    get size() {
      return known.size;
    },
  };
}

export type SeenCommands = ReturnType<typeof createSeen>;
