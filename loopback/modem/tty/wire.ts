import type { ModemClock } from '../clock.js';

/** A start bit, eight bits of data, a stop bit. */
const BITS_PER_BYTE = 10;

/** One direction of a serial line. */
export interface Wire {
  send(bytes: Buffer): void;
  /** Number of bytes that have not arrived. */
  waiting(): number;
  clear(): void;
}

/**
 * Creates a line with a speed: a byte arrives when its last bit has. Late timers do not slow it down.
 *
 * @param baud bits per second; 0: bytes arrive at once, in the chunks of their writes
 */
export function createWire(baud: number, clock: ModemClock, deliver: (bytes: Buffer) => void): Wire {
  if (baud === 0) return { send: deliver, waiting: () => 0, clear: () => undefined };
  const byteMs = (BITS_PER_BYTE * 1000) / baud;
  let queue = Buffer.alloc(0);
  /** When the transmission of the queue's first byte began or begins. */
  let since = 0;
  let cancel: (() => void) | undefined;

  function arm(): void {
    cancel = queue.length === 0 ? undefined : clock.after(Math.max(1, since + byteMs - clock.now()), tick);
  }

  function tick(): void {
    // Tolerance for rounding errors in the sums of fractional times.
    const arrived = Math.min(queue.length, Math.floor((clock.now() - since) / byteMs + 1e-6));
    const bytes = queue.subarray(0, arrived);
    queue = queue.subarray(arrived);
    since += arrived * byteMs;
    arm();
    if (arrived > 0) deliver(bytes);
  }

  return {
    send(bytes) {
      if (bytes.length === 0) return;
      if (queue.length === 0) since = Math.max(since, clock.now());
      queue = Buffer.concat([queue, bytes]);
      if (cancel === undefined) arm();
    },
    waiting: () => queue.length,
    clear() {
      cancel?.();
      cancel = undefined;
      queue = Buffer.alloc(0);
    },
  };
}
