import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { systemCodeOf } from '../../../shared/errors.js';
import { WAIT_MS } from '../../support/wait.js';

/** Opens a tty as a program opens a serial port, without setting anything. */
export function openPort(path: string) {
  const fd = openSync(path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  const buffer = Buffer.alloc(65_536);
  let isOpen = true;

  function close(): void {
    if (isOpen) closeSync(fd);
    isOpen = false;
  }

  /** Returns the bytes that arrived; undefined when the terminal has hung up. */
  function read(): Buffer | undefined {
    try {
      const count = readSync(fd, buffer);
      return count === 0 ? undefined : Buffer.from(buffer.subarray(0, count));
    } catch (error) {
      return systemCodeOf(error) === 'EAGAIN' ? Buffer.alloc(0) : undefined;
    }
  }

  /** Reads until there is enough, or the terminal hangs up. Fails after 5 s with the bytes that arrived instead. */
  async function readUntil(what: string, enough: (bytes: Buffer) => boolean): Promise<Buffer> {
    let bytes = Buffer.alloc(0);
    const deadline = performance.now() + WAIT_MS;
    while (!enough(bytes)) {
      if (performance.now() > deadline) {
        const arrived = JSON.stringify(bytes.toString('latin1'));
        throw new Error(`${what} did not arrive at ${path} in ${WAIT_MS} ms; instead: ${arrived}`);
      }
      const part = read();
      if (part === undefined) break;
      bytes = Buffer.concat([bytes, part]);
      await pause(2);
    }
    return bytes;
  }

  const readThrough = async (end: string) =>
    (await readUntil(JSON.stringify(end), (bytes) => bytes.includes(end, 0, 'latin1'))).toString('latin1');

  onTestFinished(close);
  return {
    close,
    read,
    write: (bytes: Buffer) => writeSync(fd, bytes),
    readAll: (count: number) => readUntil(`${count} bytes`, (bytes) => bytes.length >= count),
    /** Writes `text`, and returns everything that arrives until `end` has. */
    async ask(text: string, end = '\r\nOK\r\n'): Promise<string> {
      writeSync(fd, Buffer.from(text, 'latin1'));
      return readThrough(end);
    },
    /** Returns everything that arrives until `end` has. */
    readThrough,
  };
}

export type TestPort = ReturnType<typeof openPort>;
