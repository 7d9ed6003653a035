import { createCongestion } from '../../base/congestion.js';
import type { Datagram } from '../../transport/transport.js';
import { createFairQueue } from './fair-queue.js';
import { createTurnLength } from './turn-length.js';

/** So much longer than it had may handling have taken that the next turns make up for it. */
const MOST_DEBT_MS = 0.1;
/** So many datagrams of addresses that send little are handled in each turn, even where no time is left. */
const SHORT_AT_ONCE = 4;

export interface IntakeOptions {
  /** Handles a datagram; throws nothing. */
  readonly handle: (datagram: Datagram) => void;
  /** Called with each datagram that is not handled. */
  readonly shed: (datagram: Datagram) => void;
  /** Returns how long the event loop has waited for work since the start, in milliseconds. */
  readonly idleMs: () => number;
  /** The monotonic clock in milliseconds. */
  readonly now?: () => number;
  /** Calls a function once the sockets have been read. */
  readonly defer?: (call: () => void) => void;
}

/**
 * Hands datagrams on. While the agent keeps up, each is handled at once. While it does not, the sockets are read first,
 * as what the kernel drops it drops of all senders alike; what was read waits, and the source addresses have turns.
 */
export function createIntake({ handle, shed, idleMs, now = monotonic, defer = setImmediate }: IntakeOptions) {
  const isCongested = createCongestion(idleMs);
  const turnLength = createTurnLength();
  const queue = createFairQueue(shed);
  /** How many datagrams were read in this turn of the event loop. */
  let read = 0;
  /** Time left for handling; below 0 where a datagram took longer than its turn had. */
  let left = 0;
  let isDeferred = false;

  function take(datagram: Datagram): void {
    if (queue.length === 0 && !isCongested(datagram.receivedAt)) {
      handle(datagram);
      return;
    }
    read++;
    queue.push(datagram);
    handleLater();
  }

  function handleLater(): void {
    if (isDeferred) return;
    isDeferred = true;
    defer(handleSome);
  }

  function handleSome(): void {
    isDeferred = false;
    const length = turnLength(read);
    read = 0;
    left = Math.max(Math.min(left, 0), -MOST_DEBT_MS) + length;
    let begun = now();
    for (let handled = 0; left > 0 || handled < SHORT_AT_ONCE; handled++) {
      const datagram = queue.shift(left <= 0);
      if (datagram === undefined) break;
      handle(datagram);
      const ended = now();
      left -= ended - begun;
      begun = ended;
    }
    if (queue.length > 0) handleLater();
  }

  return {
    take,
    /** Counts a datagram that was read and is refused: it too shows that more may wait to be read. */
    countRefused(): void {
      read++;
    },
    /** Hands on all that waits. */
    drain(): void {
      for (let datagram = queue.shift(); datagram !== undefined; datagram = queue.shift()) handle(datagram);
    },
  };
}

const monotonic = () => performance.now();
