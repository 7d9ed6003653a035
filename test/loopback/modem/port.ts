import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { systemCodeOf } from '../../../shared/errors.js';

const PATIENCE_MS = 5000;

/** A host's end of a tty, opened as a program opens a serial port; it sets nothing. */
export function openPort(path: string) {
  const fd = openSync(path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  const buffer = Buffer.alloc(65_536);
  let isOpen = true;

  function close(): void {
    if (isOpen) closeSync(fd);
    isOpen = false;
  }

  /** What has come; undefined when the terminal has hung up. */
  function read(): Buffer | undefined {
    try {
      const count = readSync(fd, buffer);
      return count === 0 ? undefined : Buffer.from(buffer.subarray(0, count));
    } catch (error) {
      return systemCodeOf(error) === 'EAGAIN' ? Buffer.alloc(0) : undefined;
    }
  }

  /** Reads until there is enough, for a while. */
  async function readUntil(enough: (bytes: Buffer) => boolean): Promise<Buffer> {
    let bytes = Buffer.alloc(0);
    const until = performance.now() + PATIENCE_MS;
    while (!enough(bytes) && performance.now() < until) {
      const part = read();
      if (part === undefined) break;
      bytes = Buffer.concat([bytes, part]);
      await pause(2);
    }
    return bytes;
  }

  onTestFinished(close);
  return {
    close,
    read,
    write: (bytes: Buffer) => writeSync(fd, bytes),
    readAll: (count: number) => readUntil((bytes) => bytes.length >= count),
    /** Writes, and gives all that comes until this has come. */
    async ask(text: string, end = '\r\nOK\r\n'): Promise<string> {
      writeSync(fd, Buffer.from(text, 'latin1'));
      return (await readUntil((bytes) => bytes.includes(end, 0, 'latin1'))).toString('latin1');
    },
    /** Gives all that comes until this has come. */
    hear: async (end: string) => (await readUntil((bytes) => bytes.includes(end, 0, 'latin1'))).toString('latin1'),
  };
}

export type TestPort = ReturnType<typeof openPort>;
