import { constants, readFileSync, unlinkSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import * as z from 'zod';
import { messageOf, systemCodeOf } from '../../shared/errors.js';
import { type ReplayWindow, WINDOW_SIZE } from '../../shared/oscore/replay-window.js';
import { MAX_SEQUENCE_NUMBER } from '../../shared/oscore/sequence-number.js';
import type { Log } from '../base/log.js';
import { syncFolder } from '../storage/folder.js';
import { MAX_KEYS } from './key-folder.js';
import type { StoredNumbers } from './number-files.js';
import type { StoredWindows } from './replay-guard.js';

/** Name of the file. It exists only while no agent runs that was stopped cleanly. */
export const WINDOW_FILE = 'oscore-windows';

const number = z
  .int()
  .min(0)
  .max(MAX_SEQUENCE_NUMBER + 1);

/** Another window could take a number for fresh that it has dropped. */
const isInOrder = ({ floor, numbers }: ReplayWindow): boolean =>
  numbers.every((each, index) => index === 0 || each > (numbers[index - 1] ?? each)) &&
  (numbers.length < WINDOW_SIZE || floor >= (numbers[0] ?? 0));

const windowSchema = z.strictObject({ floor: number, numbers: z.array(number).max(WINDOW_SIZE) }).refine(isInOrder);
const fileSchema = z.strictObject({
  last: number,
  windows: z.record(z.string(), windowSchema).refine((windows) => Object.keys(windows).length <= MAX_KEYS),
});

/**
 * Takes the windows that a clean stop has stored: reads the file and deletes it, so that they are not found after an
 * unclean stop, when requests have been accepted that are not in them. Each accepted request has had a number drawn: so
 * the file counts only while the number files are as that stop has left them.
 *
 * @returns undefined where there are none, and where the file cannot be deleted for good
 */
export function takeWindows(folder: string, numbers: StoredNumbers | undefined, log: Log): StoredWindows | undefined {
  const path = join(folder, WINDOW_FILE);
  try {
    const text = readFileSync(path, 'utf8');
    unlinkSync(path);
    syncFolder(folder);
    const { last, windows } = fileSchema.parse(JSON.parse(verified(text)));
    return numbers?.isExact === true && numbers.last === last ? windows : undefined;
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') {
      log.warn(
        { path, error: messageOf(error) },
        'replay windows cannot be read: each key begins with one more exchange',
      );
    }
    return undefined;
  }
}

/**
 * Stores the windows at a clean stop. Never fails: an error is logged. While the disk hangs it does not settle; what it writes
 * late has no effect, as the number files are not as they were then.
 *
 * @param last the number that the number files have
 */
export async function storeWindows(folder: string, last: number, windows: StoredWindows, log: Log): Promise<void> {
  const path = join(folder, WINDOW_FILE);
  try {
    const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC, 0o600);
    try {
      await file.writeFile(withChecksum(JSON.stringify({ last, windows })));
      await file.sync();
    } finally {
      await file.close();
    }
    const names = await open(folder, 'r');
    try {
      await names.sync();
    } finally {
      await names.close();
    }
  } catch (error) {
    log.warn(
      { path, error: messageOf(error) },
      'replay windows cannot be stored: each key begins with one more exchange',
    );
  }
}

/** With one digit changed the JSON is as valid, and an old request is accepted: so a checksum stands behind it. */
const withChecksum = (text: string): string => `${text}\n${crc32(text).toString(16)}\n`;

/** @throws Error when the text is not as it was written */
function verified(text: string): string {
  const [body = ''] = text.split('\n', 1);
  if (text !== withChecksum(body)) throw new Error('its checksum is wrong');
  return body;
}
