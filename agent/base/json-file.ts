import { open, readFile, rename, stat } from 'node:fs/promises';
import * as z from 'zod';
import { messageOf, systemCodeOf } from '../../shared/errors.js';
import type { Log } from './log.js';

const MAX_BYTES = 65_536;

const membersSchema = z.record(z.string(), z.unknown());

/** One JSON object in a file. */
export interface JsonFile {
  /** Returns the object, or undefined when there is no file or it cannot be read. */
  read(): Promise<unknown>;
  /** Replaces these members of the object. Never fails: an error is logged. */
  write(members: Readonly<Record<string, unknown>>): Promise<void>;
}

/** @param path undefined keeps nothing */
export function createJsonFile(path: string | undefined, log: Log): JsonFile {
  if (path === undefined) return { read: async () => undefined, write: async () => undefined };
  let lastWrite = Promise.resolve();
  let current: Readonly<Record<string, unknown>> = {};
  return {
    async read() {
      try {
        const { size } = await stat(path);
        if (size > MAX_BYTES) throw new Error(`it has ${size} bytes, more than ${MAX_BYTES}`);
        current = membersSchema.parse(JSON.parse(await readFile(path, 'utf8')));
        return current;
      } catch (error) {
        if (systemCodeOf(error) !== 'ENOENT') {
          log.warn({ path, error: messageOf(error) }, 'state file: cannot be read; starting without it');
        }
        return undefined;
      }
    },
    write(members) {
      current = { ...current, ...members };
      const text = JSON.stringify(current);
      lastWrite = lastWrite
        .then(() => replace(path, text))
        .catch((error: unknown) => {
          log.warn({ path, error: messageOf(error) }, 'state file: cannot be written');
        });
      return lastWrite;
    },
  };
}

/** Replaces a file atomically, so that a power cut leaves the old or the new one. */
async function replace(path: string, text: string): Promise<void> {
  const file = await open(`${path}.new`, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
}
