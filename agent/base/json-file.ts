import { open, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { messageOf, systemCodeOf } from '../../shared/errors.js';
import type { Log } from './log.js';

const NAME = 'modem.json';
const MAX_BYTES = 65_536;

const membersSchema = z.record(z.string(), z.unknown());

/** What of a modem outlives the agent, as one JSON object. */
export interface ModemFile {
  /** What was written last; undefined when there is nothing that can be read. */
  read(): Promise<unknown>;
  /** Replaces these of its members. Never fails: what cannot be written is logged. */
  write(members: Readonly<Record<string, unknown>>): Promise<void>;
}

/** Without a folder it is kept nowhere. */
export function createModemFile(folder: string | undefined, log: Log): ModemFile {
  if (folder === undefined) return { read: async () => undefined, write: async () => undefined };
  const path = join(folder, NAME);
  let lastWrite = Promise.resolve();
  let kept: Readonly<Record<string, unknown>> = {};
  return {
    async read() {
      try {
        const { size } = await stat(path);
        if (size > MAX_BYTES) throw new Error(`it has ${size} bytes`);
        kept = membersSchema.parse(JSON.parse(await readFile(path, 'utf8')));
        return kept;
      } catch (error) {
        if (systemCodeOf(error) !== 'ENOENT') {
          log.warn({ path, error: messageOf(error) }, 'what was kept of the modem cannot be read; it begins anew');
        }
        return undefined;
      }
    },
    write(members) {
      kept = { ...kept, ...members };
      const text = JSON.stringify(kept);
      lastWrite = lastWrite
        .then(() => replace(path, text))
        .catch((error: unknown) => {
          log.warn({ path, error: messageOf(error) }, 'what is kept of the modem cannot be written');
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
