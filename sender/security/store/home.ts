import { randomBytes } from 'node:crypto';
import { realpathSync } from 'node:fs';
import * as z from 'zod';
import { SupersimError } from '../../../shared/errors.js';
import { readText } from '../../../shared/sqlite/columns.js';
import type { Installation } from './create-key-store.js';
import { type KeyStore, unusableKeys } from './key-store.js';
import { identifyMachine } from './machine.js';
import { readRow } from './rows.js';

const TAG_BYTES = 8;

const installationSchema = z.object({
  // It becomes part of commands that people are to run.
  tag: readText.pipe(z.string().regex(new RegExp(`^[0-9a-f]{${2 * TAG_BYTES}}$`))),
  machine: readText,
  path: readText,
  last: z.int().min(0),
});

/** Makes an installation on this machine. @throws SupersimError `keys-unusable` when the machine has no id */
export const newInstallation = (env: NodeJS.ProcessEnv): Installation => ({
  machine: identifyMachine(env),
  tag: randomBytes(TAG_BYTES).toString('hex'),
});

/**
 * Reads what the file says of the installation that it belongs to: its tag, its machine and its path, and the sequence
 * number that was drawn last.
 *
 * @throws SupersimError `keys-unusable`
 */
export function readInstallation(store: KeyStore): z.output<typeof installationSchema> {
  const sql = `SELECT CAST(tag AS BLOB) AS tag, CAST(machine AS BLOB) AS machine, CAST(path AS BLOB) AS path, last
    FROM installation`;
  const read = readRow(store, installationSchema, sql);
  if (read === undefined) throw unusableKeys(store.path, 'it is damaged: it belongs to no installation');
  return read;
}

/**
 * Tells where the file belongs to.
 *
 * @returns undefined when that is here
 */
export function homeElsewhere(store: KeyStore, machine: string): string | undefined {
  const home = readInstallation(store);
  const path = realpathSync(store.path);
  if (home.path !== path) return home.machine === machine ? home.path : `another machine, as ${home.path}`;
  return home.machine === machine ? undefined : 'another machine';
}

/**
 * Refuses a copy: both would use the same sequence numbers, and give the same kid to devices.
 *
 * @throws SupersimError `keys-copied`, `keys-unusable`
 */
export function refuseCopy(store: KeyStore, machine: string): void {
  const elsewhere = homeElsewhere(store, machine);
  if (elsewhere === undefined) return;
  throw new SupersimError('keys-copied', `the keys in ${store.path} belong to ${elsewhere}`);
}
