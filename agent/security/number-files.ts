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
  close(): void;
}

const DIGITS = 16;
const FORM = /^([0-9]{16}) (exact|below) ([0-9a-f]{8})\n$/;
const LENGTH = DIGITS + ' exact 01234567\n'.length;

/**
 * Opens the two number files of a state folder, which are created if needed.
 *
 * @throws the system's error when they cannot be opened for writing
 */
export function openNumberFiles(folder: string): NumberStore {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const files: number[] = [];
  try {
    for (const name of NUMBER_FILES)
      files.push(openSync(join(folder, name), constants.O_RDWR | constants.O_CREAT, 0o600));
    syncFolder(folder);
    const found = files.map(read).filter((each) => each !== undefined);
    return {
      found: found.toSorted((one, other) => other.last - one.last || Number(one.isExact) - Number(other.isExact))[0],
      async write(stored) {
        const line = Buffer.from(format(stored));
        for (const file of files) {
          await writeAt(file, line, 0, line.length, 0);
          await sync(file);
        }
      },
      close() {
        for (const file of files) closeSync(file);
      },
    };
  } catch (error) {
    for (const file of files) closeSync(file);
    throw error;
  }
}

const writeAt = promisify(write);
const sync = promisify(fsync);

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
