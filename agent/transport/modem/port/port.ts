import { realpath, stat } from 'node:fs/promises';
import { raceTimeout } from '../../../../shared/async/with-timeout.js';
import type { SupersimError } from '../../../../shared/errors.js';
import { lostError, openError } from './port-error.js';

/** Most bytes of one read. */
const READ_BYTES = 4096;
/** Most bytes that wait to be written. */
const MAX_UNWRITTEN_BYTES = 16_384;
/** Time-out of a write to the system's buffer, in addition to the time that its bytes take on the line. */
const WRITE_SLACK_MS = 2000;
const BITS_PER_BYTE = 10;
/** Time-out of a flush or close, which may hang on the port of a dead modem. */
const CLOSE_MS = 1000;
/** Interval between checks that the port still exists. */
const WATCH_INTERVAL_MS = 1000;

export interface PortOptions {
  /** Preferably a name of /dev/serial/by-id, which is persistent. */
  readonly path: string;
  readonly baudRate: number;
  readonly flowControl: 'none' | 'rtscts';
}

export interface PortEvents {
  /** Bytes were received, in any chunking. */
  data(bytes: Buffer): void;
  /** The port disappeared or takes no bytes. It is closed and sends no more events. Called once. */
  lost(error: SupersimError): void;
}

export interface Port {
  /** The device that the path leads to. */
  readonly device: string;
  /**
   * Resolves when the system has taken all bytes. Writes keep their order.
   *
   * @throws SupersimError `modem-port-lost`; a part of the bytes may have been written
   */
  write(bytes: Uint8Array): Promise<void>;
  /** Closes the port; waiting writes fail. May be called again. */
  close(): Promise<void>;
}

/**
 * Opens a serial port: 8N1 and raw, so that no byte has a special meaning.
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

  /** Writes to the system's buffer. `drain` is not used: on a dead modem it may never return, and blocks a thread. */
  async function transfer(bytes: Uint8Array): Promise<void> {
    if (closed !== undefined) throw lostError(path, 'the port is closed');
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

  // A port that hangs up between two reads returns nothing for ever, which `serialport` does not report as an error.
  const watch = setInterval(async () => {
    if ((await identity(device)) !== id) lose('the device has disappeared');
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
    // Otherwise the close waits, 30 s by default, until a dead modem has taken the remaining bytes.
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

/** Imports `serialport` here, as few gateways have a modem on a serial port. */
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

/** Returns the identity of a device, to tell it from a later one with the same name. */
async function identity(device: string): Promise<string | undefined> {
  try {
    const { dev, ino, rdev } = await stat(device);
    return `${dev} ${ino} ${rdev}`;
  } catch {
    return undefined;
  }
}

const tookNothing = (ms: number) => new Error(`no bytes were taken for ${Math.round(ms)} ms`);
