import { closeSync, constants, fsync, mkdirSync, openSync, readSync, write } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import { syncFolder } from '../storage/folder.js';

/** Each has all that is stored, so that the loss of one loses nothing. */
export const NUMBER_FILES = ['oscore-numbers.1', 'oscore-numbers.2'] as const;

/** What is stored of the sequence numbers. */
export interface StoredNumbers {
  /** No higher number has been drawn. */
  readonly last: number;
  /** Whether `last` itself was drawn last, at a stop; otherwise numbers up to it were reserved. */
  readonly isExact: boolean;
}

/** Stores the sequence numbers of a state folder. */
export interface NumberStore {
  /** What was stored before; undefined where no file has it. */
  readonly found: StoredNumbers | undefined;
  /** Writes to both files, one after the other; what is written then survives a power cut. @throws (rejects) Error */
  write(stored: StoredNumbers): Promise<void>;
  /** Nothing is written afterwards, also by a write that is under way: at most one file has what it was to write. */
  close(): void;
}

/** What writes to a file. */
export interface NumberDisk {
  write(file: number, bytes: Buffer): Promise<{ readonly bytesWritten: number }>;
  sync(file: number): Promise<void>;
}

const DIGITS = 16;
const FORM = /^([0-9]{16}) (exact|below) ([0-9a-f]{8})\n$/;
const LENGTH = DIGITS + ' exact 01234567\n'.length;

/**
 * Opens the two number files of a state folder, which are created if needed.
 *
 * @throws the system's error when they cannot be opened for writing
 */
export function openNumberFiles(folder: string, disk: NumberDisk = DISK): NumberStore {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const files: number[] = [];
  const closeAll = () => {
    for (const file of files.splice(0)) closeSync(file);
  };
  let isClosed = false;
  let isWriting = false;

  async function writeTo(file: number, line: Buffer): Promise<void> {
    const { bytesWritten } = await disk.write(file, line);
    if (bytesWritten !== line.length) throw new Error('the disk took a part of the line only');
    await disk.sync(file);
  }

  try {
    for (const name of NUMBER_FILES)
      files.push(openSync(join(folder, name), constants.O_RDWR | constants.O_CREAT, 0o600));
    syncFolder(folder);
    const found = files.map(read).filter((each) => each !== undefined);
    return {
      found: found.toSorted((one, other) => other.last - one.last || Number(one.isExact) - Number(other.isExact))[0],
      async write(stored) {
        const line = Buffer.from(format(stored));
        isWriting = true;
        try {
          for (const file of [...files]) {
            // Another process may use the files then: it must find its own numbers in one of them.
            if (isClosed) break;
            await writeTo(file, line);
          }
          if (isClosed) throw new Error('the number files have been closed');
        } finally {
          isWriting = false;
          if (isClosed) closeAll();
        }
      },
      close() {
        isClosed = true;
        // The number of a file that is closed would be that of another one, to which the write would go.
        if (!isWriting) closeAll();
      },
    };
  } catch (error) {
    closeAll();
    throw error;
  }
}

const writeAt = promisify(write);

const DISK: NumberDisk = {
  write: (file, bytes) => writeAt(file, bytes, 0, bytes.length, 0),
  sync: promisify(fsync),
};

/** What lies behind the line does not count: writing over it would never mend the file. */
function read(file: number): StoredNumbers | undefined {
  const bytes = Buffer.alloc(LENGTH);
  const text = bytes.toString('latin1', 0, readSync(file, bytes, 0, bytes.length, 0));
  const [, digits = '', kind = '', sum] = FORM.exec(text) ?? [];
  if (sum === undefined || sum !== checksum(`${digits} ${kind}`)) return undefined;
  return { last: Number(digits), isExact: kind === 'exact' };
}

function format({ last, isExact }: StoredNumbers): string {
  const text = `${String(last).padStart(DIGITS, '0')} ${isExact ? 'exact' : 'below'}`;
  return `${text} ${checksum(text)}\n`;
}

const checksum = (text: string): string => crc32(text).toString(16).padStart(8, '0');
