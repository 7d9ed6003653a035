import { open, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, systemCodeOf } from '../../../shared/errors.js';
import type { Log } from '../../log.js';
import type { Saved } from './ladder-store.js';

const NAME = 'modem.json';
const MAX_BYTES = 65_536;

export interface LadderFile {
  /** What was written last; undefined when there is nothing that can be read. */
  read(): Promise<unknown>;
  /** Never fails: what cannot be written is logged. */
  write(saved: Saved): Promise<void>;
}

/** Where the recovery's state lies over a restart; without a folder it is kept nowhere. */
export function createLadderFile(folder: string | undefined, log: Log): LadderFile {
  if (folder === undefined) return { read: async () => undefined, write: async () => undefined };
  const path = join(folder, NAME);
  let lastWrite = Promise.resolve();
  return {
    async read() {
      try {
        const { size } = await stat(path);
        if (size > MAX_BYTES) throw new Error(`it has ${size} bytes`);
        return JSON.parse(await readFile(path, 'utf8'));
      } catch (error) {
        if (systemCodeOf(error) !== 'ENOENT') {
          log.warn(
            { path, error: messageOf(error) },
            'the state of the modem’s recovery cannot be read; it begins anew',
          );
        }
        return undefined;
      }
    },
    write(saved) {
      lastWrite = lastWrite
        .then(() => replace(path, JSON.stringify(saved)))
        .catch((error: unknown) => {
          log.warn({ path, error: messageOf(error) }, 'the state of the modem’s recovery cannot be written');
        });
      return lastWrite;
    },
  };
}

/** Whole or not at all, whenever the power goes. */
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
