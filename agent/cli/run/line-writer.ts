import { write as writeFile, writeSync } from 'node:fs';

/** Size of each buffer. When the reader is too slow lines are dropped, so that memory stays bounded. */
const BUFFER_BYTES = 262_144;
const RETRY_MS = 20;
const FLUSH_MS = 1000;

/**
 * Writes lines to a file descriptor without blocking, in bounded memory: one buffer is filled while the other is
 * written. The lines of one turn of the event loop are written together.
 */
export interface LineWriter {
  /** Drops the line when the buffer is full; the number of dropped lines is written later. */
  write(line: string): void;
  /** Resolves when everything is written, after 1 s at most. */
  flush(): Promise<void>;
  /** Writes the pending lines synchronously, for the exit of the process. */
  flushSync(): void;
}

/** @param explainDrops makes the line that reports dropped lines */
export function createLineWriter(fd: number, explainDrops: (lines: number) => string): LineWriter {
  let filling = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  let writing = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  let length = 0;
  let busy = false;
  let dropped = 0;
  let flushed: (() => void) | undefined;

  function write(line: string): void {
    if (dropped > 0 && length === 0) {
      length += filling.write(explainDrops(dropped));
      dropped = 0;
    }
    // A UTF-16 unit is at most 3 bytes of UTF-8.
    if (length + line.length * 3 > BUFFER_BYTES) {
      dropped++;
      return;
    }
    length += filling.write(line, length);
    if (busy) return;
    busy = true;
    setImmediate(writeOut);
  }

  function writeOut(): void {
    const total = length;
    [filling, writing] = [writing, filling];
    length = 0;
    send(0, total);
  }

  function send(from: number, total: number): void {
    writeFile(fd, writing, from, total - from, null, (error, count) => {
      if (error?.code === 'EAGAIN') setTimeout(send, RETRY_MS, from, total);
      else if (error === null && from + count < total) send(from + count, total);
      else if (length > 0) writeOut();
      else {
        // After any other error the reader is gone, and the error cannot be logged.
        busy = false;
        flushed?.();
      }
    });
  }

  return {
    write,
    flush() {
      if (!busy) return Promise.resolve();
      return new Promise((resolve) => {
        const bound = setTimeout(resolve, FLUSH_MS);
        flushed = () => {
          clearTimeout(bound);
          resolve();
        };
      });
    },
    flushSync() {
      try {
        writeSync(fd, filling, 0, length);
        length = 0;
      } catch {
        // The reader is gone.
      }
    },
  };
}
