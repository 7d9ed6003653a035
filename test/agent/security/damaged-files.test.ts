import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { silentLog } from '../../../agent/base/log.js';
import { NUMBER_FILES, openNumberFiles } from '../../../agent/security/number-files.js';
import { createSequenceNumbers } from '../../../agent/security/sequence-numbers.js';
import { storeWindows, takeWindows, WINDOW_FILE } from '../../../agent/security/window-file.js';
import { clockFloor } from '../../../shared/oscore/sequence-number.js';
import { temporaryFolder } from '../../support/files.js';
import { flips } from '../../support/oscore.js';

const LAST = { last: 70_000_000_000, isExact: true };
const WINDOWS = { '0123456789abcdef': { floor: 69_999_999_000, numbers: [69_999_999_000, 69_999_999_990] } };

describe('the replay windows of a clean stop', () => {
  it('count when they are as they were written', () => {
    const folder = temporaryFolder();
    storeWindows(folder, LAST.last, WINDOWS, silentLog);
    expect(takeWindows(folder, LAST, silentLog)).toEqual(WINDOWS);
    expect(takeWindows(folder, LAST, silentLog)).toBeUndefined();
  });

  it('are lost when any bit of them has changed: an old request would be accepted', () => {
    const folder = temporaryFolder();
    storeWindows(folder, LAST.last, WINDOWS, silentLog);
    for (const flipped of flips(readFileSync(join(folder, WINDOW_FILE)))) {
      writeFileSync(join(folder, WINDOW_FILE), flipped);
      expect(takeWindows(folder, LAST, silentLog), flipped.toString()).toBeUndefined();
    }
  });

  it('are lost when a part of them is missing, or there is more', () => {
    const folder = temporaryFolder();
    storeWindows(folder, LAST.last, WINDOWS, silentLog);
    const whole = readFileSync(join(folder, WINDOW_FILE));
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(join(folder, WINDOW_FILE), whole.subarray(0, length));
      expect(takeWindows(folder, LAST, silentLog)).toBeUndefined();
    }
    writeFileSync(join(folder, WINDOW_FILE), `${whole}{}`);
    expect(takeWindows(folder, LAST, silentLog)).toBeUndefined();
  });
});

describe('the number files', () => {
  it('have the numbers although there is something behind them, which nothing would take away', async () => {
    const folder = temporaryFolder();
    const store = openNumberFiles(folder);
    for (const name of NUMBER_FILES) appendFileSync(join(folder, name), `${'x'.repeat(100)}\n`);
    await store.write(LAST);
    store.close();
    const again = openNumberFiles(folder);
    onTestFinished(() => again.close());
    expect(again.found).toEqual(LAST);
  });
});

describe('an agent that has lost its numbers, and whose clock is not synchronised', () => {
  it('does not wait for numbers that cannot come', async () => {
    const store = openNumberFiles(temporaryFolder());
    const numbers = createSequenceNumbers({ isSynchronized: async () => false, log: silentLog });
    onTestFinished(async () => void (await numbers.stop()));
    numbers.open(store);
    const told = new Promise<void>((resolve) => expect(numbers.wait(resolve)).toBe(true));
    await told;
    expect({ state: numbers.state, taken: numbers.take(), waits: numbers.wait(() => undefined) }).toEqual({
      state: 'unknown',
      taken: undefined,
      waits: false,
    });
  });
});

describe('an agent that crashes again and again while its clock is not synchronised', () => {
  /** As systemd starts it again. */
  const RESTART_MS = 5000;

  it('does not get ahead of the clock, so that numbers that are set back afterwards are not drawn again', async () => {
    const folder = temporaryFolder();
    let time = Date.UTC(2027, 0, 1);

    /** Draws a number, and does not stop: as if the agent were killed. */
    async function numberOfLife(isSynchronized: boolean): Promise<number> {
      time += RESTART_MS;
      const store = openNumberFiles(folder);
      onTestFinished(() => store.close());
      const clocks = { wallNow: () => time, now: () => time };
      const numbers = createSequenceNumbers({ isSynchronized: async () => isSynchronized, log: silentLog, ...clocks });
      numbers.open(store);
      return vi.waitFor(() => {
        time += 100;
        const number = numbers.take();
        if (number === undefined) throw new Error(`there is no number: ${numbers.state}`);
        return number;
      });
    }

    await numberOfLife(true);
    for (let crashes = 0; crashes < 20; crashes++) await numberOfLife(false);
    const copy = NUMBER_FILES.map((name) => readFileSync(join(folder, name)));
    const before = await numberOfLife(true);
    expect(before).toBeLessThanOrEqual(clockFloor(time));
    for (const [index, name] of NUMBER_FILES.entries()) writeFileSync(join(folder, name), copy[index] ?? '');
    expect(await numberOfLife(true)).toBeGreaterThan(before);
  });
});
