import { realpath, stat } from 'node:fs/promises';
import type { SupersimError } from '../../../../shared/errors.js';
import { raceTimeout } from '../../../../shared/with-timeout.js';
import { lostError, openError } from './port-error.js';

/** Most bytes that are read at once, and so kept. */
const READ_BYTES = 4096;
/** Most bytes that wait to be written. */
const MAX_UNWRITTEN_BYTES = 16_384;
/** How much longer than its bytes take on the line a write may take, in which they move to the system's buffer. */
const WRITE_SLACK_MS = 2000;
const BITS_PER_BYTE = 10;
/** How long a system call of a dead modem's port is waited for. */
const CLOSE_MS = 1000;
/** How often it is looked whether the port is still there. */
const WATCH_INTERVAL_MS = 1000;

export interface PortOptions {
  /** Best one of /dev/serial/by-id, which stays the same. */
  readonly path: string;
  readonly baudRate: number;
  readonly flowControl: 'none' | 'rtscts';
}

export interface PortEvents {
  /** Bytes came in, in any chunking. */
  data(bytes: Buffer): void;
  /** It is gone, or does not take bytes; it is closed, and nothing more comes. Told once. */
  lost(error: SupersimError): void;
}

export interface Port {
  /** The device that the path leads to. */
  readonly device: string;
  /**
   * Resolves when the system has taken all of it. Writes keep their order.
   *
   * @throws SupersimError `modem-port-lost`; what of it has gone nobody knows
   */
  write(bytes: Uint8Array): Promise<void>;
  /** What has not gone yet does not go any more. Can be called again. */
  close(): Promise<void>;
}

/**
 * Opens a serial port: 8N1, raw, with no byte of any meaning.
 *
 * @throws SupersimError `modem-port-missing`, `modem-port-forbidden`, `modem-port-busy`, or `modem-port-lost`
 */
export async function openPort(options: PortOptions, events: PortEvents): Promise<Port> {
  const { path, baudRate } = options;
  const line = await openLine(options).catch(async (error) => {
    throw await openError(path, error);
  });
  const device = await realpath(path).catch(() => path);
  const id = await identity(device);
  let unwritten = 0;
  let lastWrite = Promise.resolve();
  let closed: Promise<void> | undefined;

  /** Only to the system's buffer: `drain` may never come back from a dead modem, and holds up a thread meanwhile. */
  async function transfer(bytes: Uint8Array): Promise<void> {
    if (closed !== undefined) throw lostError(path, 'it is closed');
    const most = WRITE_SLACK_MS + (bytes.length * BITS_PER_BYTE * 1000) / baudRate;
    try {
      await raceTimeout(most, line.write(Buffer.from(bytes)), { reason: tookNothing });
    } catch (error) {
      lose(error);
      throw lostError(path, error);
    } finally {
      unwritten -= bytes.length;
    }
  }

  async function read(): Promise<void> {
    const buffer = Buffer.alloc(READ_BYTES);
    for (;;) {
      const { bytesRead } = await line.read(buffer, 0, READ_BYTES);
      if (closed !== undefined) return;
      events.data(Buffer.from(buffer.subarray(0, bytesRead)));
    }
  }

  // A port that was hung up between two reads yields nothing for ever, which `serialport` takes for no error.
  const watch = setInterval(async () => {
    if ((await identity(device)) !== id) lose('it has vanished');
  }, WATCH_INTERVAL_MS);

  function lose(error: unknown): void {
    if (closed !== undefined) return;
    void close();
    events.lost(lostError(path, error));
  }

  function close(): Promise<void> {
    closed ??= shut();
    return closed;
  }

  async function shut(): Promise<void> {
    clearInterval(watch);
    // Else the system waits in the close until a dead modem has taken what is left, 30 s by default.
    await raceTimeout(CLOSE_MS, line.flush()).catch(() => undefined);
    await raceTimeout(CLOSE_MS, line.close()).catch(() => undefined);
  }

  read().catch(lose);
  return {
    device,
    write(bytes) {
      if (unwritten + bytes.length > MAX_UNWRITTEN_BYTES) {
        return Promise.reject(lostError(path, `${unwritten} bytes already wait to be written`));
      }
      unwritten += bytes.length;
      const written = lastWrite.then(() => transfer(bytes));
      lastWrite = written.catch(() => undefined);
      return written;
    },
    close,
  };
}

/** Imported only now: few gateways have a modem on a serial port. */
async function openLine({ path, baudRate, flowControl }: PortOptions) {
  const { SerialPort } = await import('serialport');
  return SerialPort.binding.open({
    path,
    baudRate,
    dataBits: 8,
    parity: 'none',
    stopBits: 1,
    // 0x11 and 0x13 occur in payloads.
    xon: false,
    xoff: false,
    xany: false,
    rtscts: flowControl === 'rtscts',
    lock: true,
    hupcl: false,
  });
}

/** Tells a device from another that has got its name. */
async function identity(device: string): Promise<string | undefined> {
  try {
    const { dev, ino, rdev } = await stat(device);
    return `${dev} ${ino} ${rdev}`;
  } catch {
    return undefined;
  }
}

const tookNothing = (ms: number) => new Error(`it took no bytes for ${Math.round(ms)} ms`);
