import type { ModemClock } from './clock.js';
import type { ModemFaultState } from './faults/fault-state.js';
import { createPort, type PortOptions } from './tty/port.js';
import { createWire } from './tty/wire.js';

/** Time for the host to read the output before a restart. */
const OUTPUT_MS = 100;

export interface SerialLineOptions extends Omit<PortOptions, 'onData'> {
  readonly clock: ModemClock;
  /** Bits per second; 0: no limit. */
  readonly baud: number;
  readonly faults: ModemFaultState;
  readonly onInput: (bytes: Buffer) => void;
  /** A fault restarts the modem, after the time given. */
  readonly onReset: (why: string, afterMs: number) => void;
}

/** The modem's tty, with the speed of its line and the faults that restart the modem after a number of bytes. */
export interface SerialLine {
  /** Path of the tty; undefined while it is away. */
  path(): string | undefined;
  /** Makes the tty. */
  appear(): Promise<void>;
  /** Removes the tty, and discards what is on the line. */
  vanish(): Promise<void>;
  write(bytes: Buffer): void;
  /** Waits for `ms`, and then until the output has left the line. */
  flush(ms: number): Promise<void>;
  /** Counts bytes from 0 again. */
  resetCounts(): void;
}

export function createSerialLine({ clock, baud, faults, onInput, onReset, ...options }: SerialLineOptions): SerialLine {
  let bytesReceived = 0;
  let bytesSent = 0;
  const port = createPort({ ...options, onData: (bytes) => inward.send(bytes) });
  const inward = createWire(baud, clock, receive);
  const outward = createWire(baud, clock, send);

  function receive(bytes: Buffer): void {
    const { resetAfterHeard: limit, silent } = faults.faults();
    const resets = limit > 0 && bytesReceived + bytes.length >= limit;
    const processed = resets ? bytes.subarray(0, limit - bytesReceived) : bytes;
    bytesReceived += bytes.length;
    if (silent === 'no') onInput(processed);
    if (resets) onReset(`${limit} bytes received`, 0);
  }

  function send(bytes: Buffer): void {
    const { resetAfterSent: limit } = faults.faults();
    const resets = limit > 0 && bytesSent + bytes.length >= limit;
    port.write(resets ? bytes.subarray(0, limit - bytesSent) : bytes);
    bytesSent += bytes.length;
    if (resets) onReset(`${limit} bytes sent`, OUTPUT_MS);
  }

  return {
    path: port.path,
    appear: port.appear,
    async vanish() {
      inward.clear();
      outward.clear();
      await port.vanish();
    },
    write: outward.send,
    async flush(ms) {
      await pause(ms);
      for (let rounds = 0; ms > 0 && outward.waiting() > 0 && rounds < 100; rounds += 1) await pause(ms);
    },
    resetCounts() {
      bytesReceived = 0;
      bytesSent = 0;
    },
  };
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
