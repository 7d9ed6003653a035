import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { openOutbox } from '../../../agent/command/outbox/outbox.js';
import { temporaryFolder } from '../../support/files.js';
import { command, keyOf, openTestJournal, standingClock } from '../command/journal/support.js';

/** Creates a state folder with commands in every state, and waiting replies. */
export async function filledFolder(): Promise<string> {
  const folder = temporaryFolder();
  const { database, journal } = await openTestJournal(folder);
  const outbox = openOutbox(database, standingClock().clock);
  for (let id = 0; id < 60; id++) {
    journal.accept(command(id, { request: Buffer.alloc(20 + 19 * id, 65) }), () => undefined);
    if (id % 3 > 0) journal.start(keyOf(id), () => undefined);
    if (id % 3 > 1) journal.finish(keyOf(id), { outcome: 'done', reply: Buffer.alloc(10 * id, 66) });
    outbox.push({
      bytes: Buffer.alloc(id),
      destination: { address: '100.64.0.1', port: 6969 },
      port: 1,
      kind: 'reply',
      expiresAt: 2e12,
    });
  }
  database.close();
  return folder;
}

/** Mounts a disk of this size; needs root. */
export function smallDisk(bytes: number): string {
  const folder = temporaryFolder();
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder]);
  onTestFinished(() => void execFileSync('umount', ['-l', folder]));
  return folder;
}

/** Fills a small disk with the file `filler`. */
export function fill(folder: string): void {
  try {
    writeFileSync(join(folder, 'filler'), Buffer.alloc(8 * 1024 * 1024));
  } catch {
    // The disk is full, as intended.
  }
}
