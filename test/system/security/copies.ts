import { join } from 'node:path';
import { temporaryFolder } from '../../support/files.js';
import type { SeededRandom } from '../../support/seed.js';
import { copyFolder } from './damage.js';
import type { Excused } from './run-ledger.js';

const MOST_COPIES = 3;

/** A copy of a state folder. */
export interface Copy {
  readonly folder: string;
  /** How many requests had been sent when it was made. */
  readonly count: number;
  /** What was excused then. */
  readonly excused: Excused;
}

/** Keeps some copies of a state folder: of different ages, as any of them can be the one that a later one replaces. */
export function keepCopies(state: string, random: SeededRandom) {
  const scratch = temporaryFolder();
  const copies: Copy[] = [];
  let made = 0;
  return {
    add(count: number, excused: Excused): void {
      const folder = join(scratch, String(++made));
      copyFolder(state, folder);
      // Its files stay: it may have been chosen.
      if (copies.length === MOST_COPIES) copies.splice(random.integer(MOST_COPIES), 1);
      copies.push({ folder, count, excused });
    },
    any: (): Copy | undefined => copies[random.integer(copies.length)],
  };
}
