import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { StoredNumbers } from '../../../agent/security/number-files.js';
import { storeWindows, takeWindows, WINDOW_FILE } from '../../../agent/security/window-file.js';
import { accept, NEW_WINDOW, WINDOW_SIZE, windowFrom } from '../../../shared/oscore/replay-window.js';
import { MAX_SEQUENCE_NUMBER } from '../../../shared/oscore/sequence-number.js';
import { temporaryFolder, writeFile } from '../../support/files.js';
import { recordingLog } from '../../support/log.js';
import { flips } from '../../support/oscore.js';

const FULL = Array.from({ length: 100 }, (_, index) => 1024 * index).reduce(accept, NEW_WINDOW);
const WINDOWS = { aa: windowFrom(5), bb: FULL, cc: NEW_WINDOW };
const STOPPED: StoredNumbers = { last: 1000, isExact: true };

const withChecksum = (text: string): string => `${text}\n${crc32(text).toString(16)}\n`;

/** Takes the windows of a folder; `text` is written to it first, with its checksum. */
function take(numbers: StoredNumbers | undefined, text?: string) {
  const folder = temporaryFolder();
  if (text !== undefined) writeFile(folder, WINDOW_FILE, withChecksum(text));
  const { log, lines } = recordingLog();
  const windows = takeWindows(folder, numbers, log);
  return { windows, lines, isLeft: existsSync(join(folder, WINDOW_FILE)) };
}

const textWith = (window: unknown): string => JSON.stringify({ last: 1000, windows: { aa: window } });

describe('the window file', () => {
  it('has the windows of a clean stop, once', async () => {
    const folder = temporaryFolder();
    const { log, lines } = recordingLog();
    await storeWindows(folder, 1000, WINDOWS, log);
    expect(statSync(join(folder, WINDOW_FILE)).mode & 0o777).toBe(0o600);
    expect(takeWindows(folder, STOPPED, log)).toEqual(WINDOWS);
    expect(existsSync(join(folder, WINDOW_FILE))).toBe(false);
    expect(takeWindows(folder, STOPPED, log)).toBeUndefined();
    expect(lines).toEqual([]);
  });

  it('replaces one that is there, also a longer one', async () => {
    const folder = temporaryFolder();
    const { log } = recordingLog();
    await storeWindows(folder, 999, WINDOWS, log);
    await storeWindows(folder, 1000, { aa: NEW_WINDOW }, log);
    expect(takeWindows(folder, STOPPED, log)).toEqual({ aa: NEW_WINDOW });
  });

  it.each<[string, StoredNumbers | undefined]>([
    ['a number was drawn since', { last: 1001, isExact: true }],
    ['numbers were set back', { last: 999, isExact: true }],
    ['numbers were reserved since', { last: 1000, isExact: false }],
    ['the number files are lost', undefined],
  ])('does not count where %s, and is gone', async (_, numbers) => {
    const text = JSON.stringify({ last: 1000, windows: WINDOWS });
    expect(take(STOPPED, text).windows).toEqual(WINDOWS);
    expect(take(numbers, text)).toEqual({ windows: undefined, lines: [], isLeft: false });
  });

  it.each<[string, string]>([
    ['is empty', ''],
    ['was cut short', textWith(WINDOWS.bb).slice(0, -1)],
    ['is no object', '[]'],
    ['has something else', JSON.stringify({ last: 1000, windows: {}, more: 1 })],
    ['has numbers out of order', textWith({ floor: 0, numbers: [2, 1] })],
    ['has a number twice', textWith({ floor: 0, numbers: [1, 1] })],
    ['has too many numbers', textWith({ floor: 64, numbers: Array.from({ length: WINDOW_SIZE + 1 }, (_, n) => n) })],
    ['has a floor that forgets what was dropped', textWith({ ...FULL, floor: 0 })],
    ['has numbers that cannot be', textWith({ floor: 0, numbers: [MAX_SEQUENCE_NUMBER + 2] })],
    ['has a fraction', textWith({ floor: 0.5, numbers: [] })],
    [
      'has more keys than a device',
      JSON.stringify({
        last: 1000,
        windows: Object.fromEntries('abcdefghi'.split('').map((key) => [key, NEW_WINDOW])),
      }),
    ],
  ])('that %s is logged and gone', (_, text) => {
    const { windows, lines, isLeft } = take(STOPPED, text);
    expect([windows, lines.length, lines[0]?.level, isLeft]).toEqual([undefined, 1, 'warn', false]);
  });

  it('is lost when any bit of it has changed, as an old request would be accepted', async () => {
    const folder = temporaryFolder();
    const { log } = recordingLog();
    await storeWindows(folder, 1000, { aa: windowFrom(69_999_999_000) }, log);
    for (const flipped of flips(readFileSync(join(folder, WINDOW_FILE)))) {
      writeFile(folder, WINDOW_FILE, flipped);
      expect(takeWindows(folder, STOPPED, log), flipped.toString()).toBeUndefined();
    }
  });

  it('is lost when a part of it is missing, or there is more', async () => {
    const folder = temporaryFolder();
    const { log } = recordingLog();
    await storeWindows(folder, 1000, { aa: windowFrom(5) }, log);
    const whole = readFileSync(join(folder, WINDOW_FILE));
    for (let length = 0; length < whole.length; length++) {
      writeFile(folder, WINDOW_FILE, whole.subarray(0, length));
      expect(takeWindows(folder, STOPPED, log)).toBeUndefined();
    }
    writeFile(folder, WINDOW_FILE, `${whole}{}`);
    expect(takeWindows(folder, STOPPED, log)).toBeUndefined();
  });

  it('has the window of a key that is at its end', async () => {
    const folder = temporaryFolder();
    const { log } = recordingLog();
    const windows = { aa: { floor: MAX_SEQUENCE_NUMBER + 1, numbers: [MAX_SEQUENCE_NUMBER] } };
    await storeWindows(folder, 1000, windows, log);
    expect(takeWindows(folder, STOPPED, log)).toEqual(windows);
  });

  it('that cannot be deleted does not count', () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, WINDOW_FILE));
    const { log, lines } = recordingLog();
    expect(takeWindows(folder, STOPPED, log)).toBeUndefined();
    expect(lines).toHaveLength(1);
  });

  it('that cannot be written is logged, and fails no stop', async () => {
    const folder = temporaryFolder();
    const { log, lines } = recordingLog();
    await storeWindows(join(folder, 'missing'), 1000, WINDOWS, log);
    expect(lines.map(({ level }) => level)).toEqual(['warn']);
  });

  it('has no secret', async () => {
    const folder = temporaryFolder();
    await storeWindows(folder, 1000, { aa: windowFrom(5) }, recordingLog().log);
    expect(readFileSync(join(folder, WINDOW_FILE), 'utf8')).toBe(
      withChecksum('{"last":1000,"windows":{"aa":{"floor":5,"numbers":[5]}}}'),
    );
  });
});
