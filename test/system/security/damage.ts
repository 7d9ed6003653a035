import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { NUMBER_FILES } from '../../../agent/security/number-files.js';
import { WINDOW_FILE } from '../../../agent/security/window-file.js';
import { systemCodeOf } from '../../../shared/errors.js';
import type { SeededRandom } from '../../support/seed.js';

type Change = (path: string, random: SeededRandom) => void;

const truncate: Change = (path, { integer }) => {
  const before = contentOf(path);
  writeFileSync(path, before.subarray(0, integer(before.length)));
};

/** Some bytes become others, half of them by one bit; sometimes there are more bytes behind them. */
const garble: Change = (path, { integer, bytes }) => {
  const before = contentOf(path);
  const garbled = Buffer.from(before);
  for (let count = 1 + integer(4); count > 0 && garbled.length > 0; count--) {
    const at = integer(garbled.length);
    garbled[at] = (garbled[at] ?? 0) ^ (integer(2) === 0 ? 1 << integer(8) : 1 + integer(255));
  }
  // Changes may undo each other.
  if (garbled.equals(before)) garbled.fill(0);
  writeFileSync(path, Buffer.concat([garbled, bytes(integer(2) * integer(20))]));
};

/** One bit changes, and makes a digit another one. */
const changeDigit: Change = (path, { integer }) => {
  const changed = contentOf(path);
  const digits = [...changed.keys()].filter((at) => /\d/.test(String.fromCharCode(changed[at] ?? 0)));
  const at = digits[integer(digits.length)];
  if (at !== undefined) changed[at] = (changed[at] ?? 0) ^ 1;
  writeFileSync(path, changed);
};

const remove: Change = (path) => rmSync(path, { force: true });

/** Content of a file; empty when there is none, also when an agent that runs takes it away meanwhile. */
function contentOf(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
}

/** What is done to a state folder. */
export interface Damage {
  /** Whether it may take all numbers; an agent that runs on may write them again. */
  readonly losesNumbers: boolean;
  /** Whether the windows of a clean stop must be unknown afterwards. */
  readonly losesWindows: boolean;
  inflict(folder: string, random: SeededRandom): void;
}

const toOne = (change: Change): Damage => ({
  losesNumbers: false,
  losesWindows: false,
  inflict: (folder, random) => change(join(folder, random.pick(NUMBER_FILES)), random),
});

const toBoth = (change: Change): Damage => ({
  losesNumbers: true,
  losesWindows: true,
  inflict(folder, random) {
    for (const name of NUMBER_FILES) change(join(folder, name), random);
  },
});

const toWindows = (change: Change): Damage => ({
  losesNumbers: false,
  losesWindows: true,
  inflict: (folder, random) => change(join(folder, WINDOW_FILE), random),
});

/** All files but that of the numbers, each somewhere: the journal is lost too. */
const truncateOthers: Damage = {
  losesNumbers: false,
  losesWindows: true,
  inflict(folder, random) {
    const others = readdirSync(folder).filter((name) => !NUMBER_FILES.some((file) => file === name));
    for (const path of others.map((name) => join(folder, name))) {
      // An agent that runs may have taken it away.
      if (statSync(path, { throwIfNoEntry: false })?.isFile() === true) truncate(path, random);
    }
  },
};

export const DAMAGES = {
  'one number file truncated': toOne(truncate),
  'one number file garbled': toOne(garble),
  'one number file deleted': toOne(remove),
  'both number files truncated': toBoth(truncate),
  'both number files garbled': toBoth(garble),
  'both number files deleted': toBoth(remove),
  'windows truncated': toWindows(truncate),
  'windows garbled': toWindows(garble),
  'windows with another digit': toWindows(changeDigit),
  'windows deleted': toWindows(remove),
  'all but the numbers truncated': truncateOthers,
  'folder deleted': { losesNumbers: true, losesWindows: true, inflict: (folder) => removeFolder(folder) },
} as const satisfies Record<string, Damage>;

/** Takes a folder away at once, as an agent that runs may make files in it meanwhile; it may make the folder again. */
function removeFolder(folder: string): void {
  if (!existsSync(folder)) return;
  const gone = mkdtempSync(`${folder}.gone-`);
  renameSync(folder, gone);
  rmSync(gone, { recursive: true });
}

/** Copies a folder; one in which an agent writes too, whose files then need not fit together. */
export function copyFolder(from: string, to: string): void {
  mkdirSync(to, { mode: 0o700 });
  for (const name of readdirSync(from)) {
    // It may be gone by now.
    if (existsSync(join(from, name))) cpSync(join(from, name), join(to, name), { recursive: true });
  }
}

/** Replaces a folder by a copy of its earlier state. */
export function rollBack(folder: string, copy: string): void {
  const earlier = `${folder}.earlier`;
  cpSync(copy, earlier, { recursive: true });
  for (let attempts = 10; existsSync(earlier); attempts--) {
    removeFolder(folder);
    try {
      renameSync(earlier, folder);
    } catch (error) {
      // An agent that runs has made the folder again.
      if (attempts === 0) throw error;
    }
  }
}

/** Replaces one number file by that of an earlier state. */
export function setOneBack(folder: string, copy: string, { pick }: SeededRandom): void {
  const name = pick(NUMBER_FILES);
  if (existsSync(join(copy, name))) cpSync(join(copy, name), join(folder, name));
}

/** Replaces the windows by those of an earlier stop. */
export function setWindowsBack(folder: string, copy: string): void {
  if (existsSync(join(copy, WINDOW_FILE))) cpSync(join(copy, WINDOW_FILE), join(folder, WINDOW_FILE));
}

/** Sets all back but the numbers: journal and windows are of an earlier stop. */
export function setOthersBack(folder: string, copy: string): void {
  const numbers = NUMBER_FILES.map((name) => ({ name, content: contentOf(join(folder, name)) }));
  rollBack(folder, copy);
  for (const { name, content } of numbers) writeFileSync(join(folder, name), content);
}
