import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { silentLog } from '../../../agent/base/log.js';
import {
  NUMBER_FILES,
  type NumberStore,
  openNumberFiles,
  type StoredNumbers,
} from '../../../agent/security/number-files.js';
import {
  chooseNumber,
  createSequenceNumbers,
  MAX_WAIT_MS,
  MAX_WAITING,
  RESERVED_NUMBERS,
  RESERVED_WITHOUT_CLOCK,
  STOP_MS,
} from '../../../agent/security/sequence-numbers.js';
import { clockFloor, MAX_SEQUENCE_NUMBER, NUMBERS_PER_SECOND } from '../../../shared/oscore/sequence-number.js';
import { deferred } from '../../support/deferred.js';
import { temporaryFolder } from '../../support/files.js';
import { recordingLog } from '../../support/log.js';
import { SEED } from '../../support/seed.js';

const NOW = Date.UTC(2026, 5, 1);
const YEAR_MS = 365 * 86_400_000;
const exact = (last: number): StoredNumbers => ({ last, isExact: true });
const below = (last: number): StoredNumbers => ({ last, isExact: false });

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
});

afterEach(() => {
  vi.useRealTimers();
});

const ignore = () => undefined;
const unexpected = () => expect.unreachable();

/** A state folder whose two files can be lost or set back; what is written to it passes `fault`. */
function startDisk(found?: StoredNumbers) {
  const disk = {
    files: [found, found] as (StoredNumbers | undefined)[],
    writes: 0,
    /** Called before each of the two files is written. */
    fault: (): Promise<void> => Promise.resolve(),
    found(): StoredNumbers | undefined {
      const kept = disk.files.filter((each) => each !== undefined);
      return kept.toSorted((one, other) => other.last - one.last || Number(one.isExact) - Number(other.isExact))[0];
    },
    open(): NumberStore {
      let isClosed = false;
      return {
        found: disk.found(),
        async write(stored) {
          disk.writes++;
          for (const index of disk.files.keys()) {
            await disk.fault();
            if (isClosed) throw new Error('closed');
            disk.files[index] = stored;
          }
        },
        close() {
          isClosed = true;
        },
      };
    },
  };
  return disk;
}

interface Setup {
  readonly found?: StoredNumbers;
  readonly isSynchronized?: boolean;
}

/** Sequence numbers with a disk and a clock that the test controls; the timers' time is the monotonic one. */
async function start({ found, isSynchronized = false }: Setup = {}) {
  const clock = { isSynchronized, offset: 0 };
  const { log, lines } = recordingLog();
  const disk = startDisk(found);
  const numbers = createSequenceNumbers({
    isSynchronized: async () => clock.isSynchronized,
    log,
    wallNow: () => Date.now() + clock.offset,
    now: () => performance.now(),
  });
  numbers.open(disk.open());
  await vi.advanceTimersByTimeAsync(0);
  /** Waits for a number as a request does. */
  const ask = () =>
    new Promise<number | undefined>((resolve) => {
      const first = numbers.take();
      if (first !== undefined) resolve(first);
      else
        numbers.wait(
          () => resolve(numbers.take()),
          () => resolve(undefined),
        );
    });
  /** Waits so long as a request waits while nothing is wrong. */
  const draw = async () => {
    const asked = ask();
    await vi.advanceTimersByTimeAsync(5);
    return Promise.race([asked, 'none yet']);
  };
  return { clock, disk, numbers, ask, draw, lines, clockNow: () => clockFloor(Date.now() + clock.offset) };
}

/** Takes all numbers that can be drawn now. */
function takeAll({ take }: { take(): number | undefined }): number[] {
  const taken: number[] = [];
  for (let number = take(); number !== undefined; number = take()) taken.push(number);
  return taken;
}

describe('the choice of the next number', () => {
  const CLOCK = 1_000_000;

  it.each<[string, Parameters<typeof chooseNumber>[0], ReturnType<typeof chooseNumber>]>([
    ['without clock is the next one', { last: 41, clock: undefined }, { number: 42, waitMs: 0 }],
    ['is unknown without both', { last: undefined, clock: undefined }, 'unknown'],
    ['is at most a second behind the clock', { last: 5, clock: CLOCK }, { number: CLOCK - 1024, waitMs: 0 }],
    ['is the next one within this second', { last: CLOCK - 8, clock: CLOCK }, { number: CLOCK - 7, waitMs: 0 }],
    ['can be the clock’s own', { last: CLOCK - 1, clock: CLOCK }, { number: CLOCK, waitMs: 0 }],
    ['waits for the clock', { last: CLOCK + 1023, clock: CLOCK }, { number: CLOCK + 1024, waitMs: 1000 }],
    ['waits for all of a reservation', { last: CLOCK + 8191, clock: CLOCK }, { number: CLOCK + 8192, waitMs: 8000 }],
    [
      'does not wait for a clock that was ahead before',
      { last: CLOCK + 10_000, clock: CLOCK },
      { number: CLOCK + 10_001, waitMs: 0 },
    ],
    ['is never below 0', { last: undefined, clock: 3 }, { number: 0, waitMs: 0 }],
    [
      'can be the highest',
      { last: MAX_SEQUENCE_NUMBER - 1, clock: undefined },
      { number: MAX_SEQUENCE_NUMBER, waitMs: 0 },
    ],
    ['ends with the highest', { last: MAX_SEQUENCE_NUMBER, clock: undefined }, 'exhausted'],
    ['ends with a reservation beyond the highest', { last: MAX_SEQUENCE_NUMBER + 8192, clock: CLOCK }, 'exhausted'],
  ])('%s', (_, situation, chosen) => {
    expect(chooseNumber(situation)).toEqual(chosen);
  });
});

describe('a sequence number', () => {
  it('is drawn only once the folder is open, and it is known whether the clock is synchronised', async () => {
    const disk = startDisk(exact(5));
    const { promise, resolve } = deferred<boolean>();
    const numbers = createSequenceNumbers({ isSynchronized: () => promise, log: recordingLog().log });
    expect([numbers.take(), numbers.state]).toEqual([undefined, 'waiting']);
    numbers.open(disk.open());
    await vi.advanceTimersByTimeAsync(1000);
    expect([numbers.take(), numbers.state]).toEqual([undefined, 'waiting']);
    const then = vi.fn(numbers.take);
    numbers.wait(then, unexpected);
    resolve(false);
    await vi.advanceTimersByTimeAsync(0);
    expect(then).toHaveReturnedWith(6);
    await numbers.stop();
  });

  it('is drawn only once both files have its reservation', async () => {
    const { disk, numbers, ask } = await start({ found: exact(99) });
    const writes = [deferred(), deferred()];
    let step = 0;
    disk.fault = () => writes[step++]?.promise ?? Promise.resolve();
    const drawn = ask();
    writes[0]?.resolve();
    await vi.advanceTimersByTimeAsync(0);
    expect(disk.files).toEqual([below(99 + RESERVED_WITHOUT_CLOCK), exact(99)]);
    expect(numbers.take()).toBeUndefined();
    writes[1]?.resolve();
    expect(await drawn).toBe(100);
    await numbers.stop();
  });

  it('continues from the stored one while the clock is not synchronised', async () => {
    const { numbers, draw } = await start({ found: below(8191) });
    expect(await draw()).toBe(8192);
    await numbers.stop();
  });

  it('is never drawn from 0 again: without stored numbers it waits for the clock', async () => {
    const { clock, numbers, draw, clockNow } = await start();
    expect(numbers.state).toBe('unknown');
    expect(await draw()).toBeUndefined();
    clock.isSynchronized = true;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await draw()).toBeGreaterThan(clockNow() - NUMBERS_PER_SECOND);
    await numbers.stop();
  });

  it.each<[string, number]>([
    ['before there were numbers', Date.UTC(2006, 0, 1) - NOW],
    ['after the last number', Date.UTC(2080, 0, 6) - NOW],
  ])('does not follow a clock that says a time %s, and outlives it', async (_, offset) => {
    for (const found of [undefined, exact(77)]) {
      const { clock, numbers, draw, clockNow } = await start(found && { found });
      clock.offset = offset;
      clock.isSynchronized = true;
      await vi.advanceTimersByTimeAsync(60_000);
      expect(await draw()).toBe(found && 78);
      clock.offset = 0;
      await vi.advanceTimersByTimeAsync(60_000);
      const now = clockNow();
      const drawn = Number(await draw());
      expect(Math.abs(drawn - now)).toBeLessThan(NUMBERS_PER_SECOND);
      await numbers.stop();
    }
  });

  it('begins at the clock’s number, also where the stored ones were set back', async () => {
    const { numbers, draw, clockNow } = await start({ found: exact(100), isSynchronized: true });
    const begun = clockNow();
    expect(await draw()).toBeGreaterThan(begun);
    await numbers.stop();
  });

  it('is never ahead of a synchronised clock, and at most a second behind it', async () => {
    const { numbers, draw, clockNow } = await start({ isSynchronized: true });
    for (let step = 0; step < 200; step++) {
      await vi.advanceTimersByTimeAsync((step * 37) % 1500);
      const drawn = Number(await draw());
      expect([drawn <= clockNow(), drawn >= clockNow() - NUMBERS_PER_SECOND - 10]).toEqual([true, true]);
    }
    await numbers.stop();
  });

  it('need not be waited for by a burst of as many as a second brings', async () => {
    const { numbers, draw } = await start({ isSynchronized: true });
    await draw();
    await vi.advanceTimersByTimeAsync(1100);
    expect(takeAll(numbers).length).toBeGreaterThan(NUMBERS_PER_SECOND - 10);
    expect(numbers.state).toBe('waiting');
    await numbers.stop();
  });

  it.each([true, false])('is drawn at most 1,024 times a second (clock synchronised: %s)', async (isSynchronized) => {
    const { numbers } = await start({ found: exact(5), isSynchronized });
    let drawn = 0;
    for (let ms = 0; ms < 10_000; ms += 10) {
      drawn += takeAll(numbers).length;
      await vi.advanceTimersByTimeAsync(10);
    }
    expect(drawn).toBeGreaterThan(9 * NUMBERS_PER_SECOND);
    expect(drawn).toBeLessThanOrEqual(11 * NUMBERS_PER_SECOND);
    await numbers.stop();
  });

  it('waits after an unclean stop until the clock has passed the reservation', async () => {
    const { numbers, ask, clockNow } = await start({ found: below(clockFloor(NOW) + 8191), isSynchronized: true });
    expect(numbers.state).toBe('waiting');
    const drawing = ask();
    await vi.advanceTimersByTimeAsync(7900);
    expect(numbers.take()).toBeUndefined();
    await vi.advanceTimersByTimeAsync(200);
    const drawn = await drawing;
    expect(drawn).toBe(clockFloor(NOW) + 8192);
    expect(drawn).toBeLessThanOrEqual(clockNow());
    await numbers.stop();
  });

  it('is one that was not drawn before when the clock jumps by a year, either way', async () => {
    const { clock, numbers, ask } = await start({ isSynchronized: true });
    const drawn: (number | undefined)[] = [];
    for (const offset of [0, YEAR_MS, 0, -YEAR_MS, 20 * YEAR_MS, -YEAR_MS, 0, -5000, 0]) {
      clock.offset = offset;
      for (let step = 0; step < 3; step++) {
        const drawing = ask();
        await vi.advanceTimersByTimeAsync(10_000);
        drawn.push(await drawing);
      }
    }
    expect(drawn).not.toContain(undefined);
    expect(drawn).toEqual([...new Set(drawn)].toSorted((one, other) => Number(one) - Number(other)));
    await numbers.stop();
  });

  it('is not there any more after the highest', async () => {
    const { numbers, draw, disk } = await start({ found: exact(MAX_SEQUENCE_NUMBER - 2) });
    expect([await draw(), await draw(), await draw()]).toEqual([
      MAX_SEQUENCE_NUMBER - 1,
      MAX_SEQUENCE_NUMBER,
      undefined,
    ]);
    expect(numbers.state).toBe('exhausted');
    const giveUp = vi.fn();
    numbers.wait(unexpected, giveUp);
    expect(giveUp).toHaveBeenCalledOnce();
    expect(await numbers.stop()).toBe(MAX_SEQUENCE_NUMBER);
    expect(disk.found()).toEqual(exact(MAX_SEQUENCE_NUMBER));
  });
});

describe('a clock whose synchronisation is not known', () => {
  const never = () => new Promise<never>(() => undefined);

  it.each<[string, () => Promise<boolean>]>([
    ['as nobody answers', never],
    ['as asking fails', () => Promise.reject(new Error('no timedatectl'))],
    [
      'as it cannot be asked',
      () => {
        throw new Error('no timedatectl');
      },
    ],
  ])('%s, counts as not synchronised', async (_, isSynchronized) => {
    const numbers = createSequenceNumbers({ isSynchronized, log: recordingLog().log });
    numbers.open(startDisk(exact(5)).open());
    const then = vi.fn(numbers.take);
    numbers.wait(then, unexpected);
    await vi.advanceTimersByTimeAsync(11_000);
    expect(then).toHaveReturnedWith(6);
    await numbers.stop();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('does not stay synchronised when nobody answers any more', async () => {
    const answers = [async () => true, never];
    const isSynchronized = () => (answers.shift() ?? never)();
    const numbers = createSequenceNumbers({ isSynchronized, log: recordingLog().log });
    numbers.open(startDisk().open());
    numbers.wait(ignore, unexpected);
    await vi.advanceTimersByTimeAsync(75_000);
    // It follows the clock no more.
    const then = vi.fn(numbers.take);
    numbers.wait(then, unexpected);
    await vi.advanceTimersByTimeAsync(0);
    expect(then.mock.results[0]?.value).toBeLessThan(clockFloor(Date.now()) - 60 * NUMBERS_PER_SECOND);
    await numbers.stop();
  });

  it('does not hold up the end of the process', async () => {
    const numbers = createSequenceNumbers({ isSynchronized: never, log: recordingLog().log });
    numbers.open(startDisk().open());
    await vi.advanceTimersByTimeAsync(100);
    await numbers.stop();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('a reservation', () => {
  it('is made ahead of time, so that nobody waits for it', async () => {
    const { numbers, draw, disk } = await start({ found: exact(0), isSynchronized: true });
    await draw();
    let missed = 0;
    for (let count = 0; count < 5 * RESERVED_NUMBERS; count++) {
      await vi.advanceTimersByTimeAsync(1);
      if (numbers.take() === undefined) missed++;
    }
    expect(missed).toBe(0);
    expect(disk.writes).toBeLessThan(12);
    await numbers.stop();
  });

  it('that failed is tried again with a growing delay, and numbers come as soon as it succeeds', async () => {
    const { numbers, ask, disk, lines } = await start({ found: exact(0) });
    disk.fault = () => Promise.reject(new Error('ENOSPC'));
    const drawing = ask();
    await vi.advanceTimersByTimeAsync(0);
    expect(numbers.state).toBe('unwritable');
    await vi.advanceTimersByTimeAsync(3000);
    expect(disk.writes).toBeGreaterThan(2);
    expect(disk.writes).toBeLessThan(8);
    expect(lines.length).toBe(disk.writes);
    disk.fault = () => Promise.resolve();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await Promise.race([drawing, 'none'])).not.toBe('none');
    expect(numbers.state).toBe('ready');
    await numbers.stop();
  });

  it('that hangs when it is tried again is waited for, without asking all the time', async () => {
    const { numbers, ask, disk } = await start({ found: exact(0) });
    disk.fault = () => Promise.reject(new Error('EIO'));
    void ask();
    await vi.advanceTimersByTimeAsync(0);
    disk.fault = () => new Promise(() => undefined);
    await vi.advanceTimersByTimeAsync(1000);
    const timers = vi.spyOn(globalThis, 'setTimeout');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(timers.mock.calls.length).toBeLessThan(3);
    void numbers.stop();
    await vi.advanceTimersByTimeAsync(STOP_MS);
  });

  it('that hangs is told of', async () => {
    const { numbers, disk } = await start({ found: exact(0) });
    disk.fault = () => new Promise(() => undefined);
    expect(numbers.state).toBe('ready');
    numbers.take();
    await vi.advanceTimersByTimeAsync(5001);
    expect(numbers.state).toBe('unwritable');
  });

  it('that is not renewed in time holds up what follows, and not what came before', async () => {
    const { numbers, draw, disk } = await start({ found: exact(0) });
    await draw();
    disk.fault = () => new Promise(() => undefined);
    let drawn = 1;
    for (let second = 0; second < 20; second++) {
      drawn += takeAll(numbers).length;
      await vi.advanceTimersByTimeAsync(1000);
    }
    expect(drawn).toBe(RESERVED_WITHOUT_CLOCK);
    expect(numbers.take()).toBeUndefined();
  });
});

describe('those who wait', () => {
  it('are called in turn, as many as there are numbers', async () => {
    const { numbers, draw } = await start({ found: exact(0) });
    await draw();
    takeAll(numbers);
    const drawn: [number, number | undefined][] = [];
    for (let who = 0; who < 50; who++) numbers.wait(() => drawn.push([who, numbers.take()]), unexpected);
    expect(drawn).toEqual([]);
    await vi.advanceTimersByTimeAsync(100);
    expect(drawn.map(([who]) => who)).toEqual(Array.from({ length: 50 }, (_, who) => who));
    expect(drawn.map(([, number]) => number)).not.toContain(undefined);
    await numbers.stop();
  });

  it('are called for a number that is there, although the clock passes the reservation before they draw it', async () => {
    const { numbers, clock } = await start({ found: exact(0), isSynchronized: true });
    const drawn: (number | undefined)[] = [];
    const drawLate = () => {
      clock.offset += 60_000;
      drawn.push(numbers.take());
    };
    for (let who = 0; who < 3; who++) numbers.wait(drawLate, unexpected);
    await vi.advanceTimersByTimeAsync(100);
    // Now there is one at once.
    numbers.wait(drawLate, unexpected);
    await vi.advanceTimersByTimeAsync(100);
    expect(drawn).toHaveLength(4);
    expect(drawn).not.toContain(undefined);
    expect(drawn).toEqual([...new Set(drawn)].toSorted((one = 0, other = 0) => one - other));
    await numbers.stop();
  });

  it('do not hold up others when they draw none after all', async () => {
    const { numbers, draw } = await start({ found: exact(0) });
    await draw();
    takeAll(numbers);
    const last = vi.fn(numbers.take);
    for (let who = 0; who < 10; who++) numbers.wait(ignore, unexpected);
    numbers.wait(last, unexpected);
    await vi.advanceTimersByTimeAsync(5);
    expect(last).toHaveBeenCalledOnce();
    await numbers.stop();
  });

  it('do not hold up others when one fails, which is logged', async () => {
    const { numbers, draw, lines } = await start({ found: exact(0) });
    await draw();
    takeAll(numbers);
    const last = vi.fn(numbers.take);
    numbers.wait(() => {
      throw new Error('mistake');
    }, unexpected);
    numbers.wait(last, unexpected);
    await vi.advanceTimersByTimeAsync(5);
    expect(last).toHaveBeenCalledOnce();
    expect(lines.map(({ details }) => details['error'])).toEqual(['mistake']);
    await numbers.stop();
  });

  it('are not more than there is room for, and find room again when the others have given up', async () => {
    const { numbers, disk } = await start({ found: exact(0) });
    disk.fault = () => new Promise(() => undefined);
    const giveUp = vi.fn();
    for (let who = 0; who < MAX_WAITING; who++) numbers.wait(unexpected, giveUp);
    expect(giveUp).not.toHaveBeenCalled();
    numbers.wait(unexpected, giveUp);
    expect(giveUp).toHaveBeenCalledOnce();
    await vi.advanceTimersByTimeAsync(MAX_WAIT_MS + 1);
    expect(giveUp).toHaveBeenCalledTimes(MAX_WAITING + 1);
    numbers.wait(unexpected, giveUp);
    expect(giveUp).toHaveBeenCalledTimes(MAX_WAITING + 1);
  });

  it('give up after the time for which they wait, at the stop, and when none can be drawn for long', async () => {
    const { numbers, disk } = await start({ found: exact(0) });
    const { promise, resolve } = deferred();
    disk.fault = () => promise;
    const [early, late, stop] = [vi.fn(), vi.fn(), vi.fn()];
    numbers.wait(unexpected, early);
    await vi.advanceTimersByTimeAsync(MAX_WAIT_MS + 1);
    expect(early).toHaveBeenCalledOnce();
    numbers.wait(unexpected, late);
    const stopped = numbers.stop();
    expect(late).toHaveBeenCalledOnce();
    resolve();
    await stopped;
    await vi.advanceTimersByTimeAsync(MAX_WAIT_MS);
    numbers.wait(unexpected, stop);
    expect(stop).toHaveBeenCalledOnce();
    expect(numbers.take()).toBeUndefined();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('a stop', () => {
  it('stores the number that was drawn last, and the next run goes on from it', async () => {
    const { numbers, draw, disk } = await start({ found: exact(0) });
    for (let count = 0; count < 3; count++) await draw();
    expect(await numbers.stop()).toBe(3);
    expect(disk.files).toEqual([exact(3), exact(3)]);
  });

  it('without numbers drawn leaves the files as they were', async () => {
    for (const [found, stored] of [
      [exact(5), 5],
      [below(8191), undefined],
      [undefined, undefined],
    ] as const) {
      const { numbers, disk } = await start(found && { found });
      expect(await numbers.stop()).toBe(stored);
      expect(disk.writes).toBe(0);
    }
  });

  it('before the folder was opened stores nothing', async () => {
    const numbers = createSequenceNumbers({ isSynchronized: async () => true, log: recordingLog().log });
    expect(await numbers.stop()).toBeUndefined();
  });

  it('waits for a reservation that is being written', async () => {
    const { numbers, disk } = await start({ found: exact(0) });
    const { promise, resolve } = deferred();
    disk.fault = () => promise;
    numbers.take();
    const stopped = numbers.stop();
    resolve();
    await stopped;
    expect(disk.found()?.last).toBeGreaterThanOrEqual(0);
    expect(disk.files[0]).toEqual(disk.files[1]);
  });

  it('that cannot write leaves the reservation, which is higher', async () => {
    const { numbers, draw, disk } = await start({ found: exact(0) });
    await draw();
    disk.fault = () => Promise.reject(new Error('EIO'));
    expect(await numbers.stop()).toBeUndefined();
    expect(disk.found()).toEqual(below(RESERVED_WITHOUT_CLOCK));
  });

  it('whose write hangs changes nothing any more that the next run may have written', async () => {
    const { numbers, draw, disk } = await start({ found: exact(0) });
    await draw();
    const { promise, resolve } = deferred();
    disk.fault = () => promise;
    const stopped = numbers.stop();
    await vi.advanceTimersByTimeAsync(STOP_MS);
    disk.files = [below(20_000), below(20_000)];
    resolve();
    expect(await stopped).toBeUndefined();
    expect(disk.files).toEqual([below(20_000), below(20_000)]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

/** How the disk works; a number for how slowly, in milliseconds. */
type DiskState = 'works' | 'fails' | number;

/** What happens to a device. */
type Step =
  | { readonly kind: 'take' | 'ask'; readonly count: number }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'clock'; readonly offset: number }
  | { readonly kind: 'sync'; readonly isSynchronized: boolean }
  | { readonly kind: 'disk'; readonly state: DiskState }
  | { readonly kind: 'stop' | 'set back' | 'lose both' }
  | { readonly kind: 'kill'; readonly isTorn: boolean }
  | { readonly kind: 'lose'; readonly file: 0 | 1 };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('take'), count: fc.constantFrom(1, 20, 1500) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('ask'), count: fc.constantFrom(1, 20, 300) }) },
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('pass'), ms: fc.constantFrom(1, 7, 90, 1100, 9000, 61_000) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('clock'),
      offset: fc.constantFrom(0, 0, -3, -700, -5000, -20_000, 3000, YEAR_MS, -YEAR_MS, -3 * YEAR_MS),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('sync'), isSynchronized: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('disk'),
      state: fc.constantFrom<DiskState[]>('works', 'fails', 5, 600, 12_000),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('stop', 'set back', 'lose both') }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('kill'), isTorn: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('lose'), file: fc.constantFrom(0, 1) }) },
);

/** A device over several runs of its agent, and all numbers that it ever drew. */
function startDevice() {
  const drawn = new Set<number>();
  const clock = { isSynchronized: true, offset: 0 };
  /** What both files had after a write that was complete. */
  const backups: StoredNumbers[] = [];
  let highest = -1;
  let files: (StoredNumbers | undefined)[] = [];
  let diskState: DiskState = 'works';
  /** Whether a file may have been written by a run that had been given up: then the other one must not be lost. */
  let isLate = false;
  let isReplaced = false;
  const found = () =>
    files
      .filter((each) => each !== undefined)
      .toSorted((one, other) => other.last - one.last || Number(one.isExact) - Number(other.isExact))[0];
  /** Whether the files are older than the numbers, as they were replaced: then only the clock can help. */
  const isSetBack = () => isReplaced && (found()?.last ?? -1) < highest;

  function openStore() {
    const process = { isKilled: false, isClosed: false, writing: undefined as 0 | 1 | undefined };
    const store: NumberStore = {
      found: found(),
      async write(stored) {
        for (const file of [0, 1] as const) {
          if (process.isClosed || process.isKilled) throw new Error('closed');
          process.writing = file;
          if (diskState === 'fails') throw new Error('EIO');
          await new Promise<void>((resolve) => {
            if (typeof diskState === 'number') setTimeout(resolve, diskState);
            else resolve();
          });
          if (process.isKilled) throw new Error('killed');
          files[file] = stored;
          if (process.isClosed) isLate = true;
        }
        process.writing = undefined;
        isLate = false;
        isReplaced = isSetBack();
        backups.push(stored);
      },
      close() {
        process.isClosed = true;
      },
    };
    return { process, store };
  }

  function start() {
    const { process, store } = openStore();
    const numbers = createSequenceNumbers({
      isSynchronized: async () => clock.isSynchronized,
      log: recordingLog().log,
      wallNow: () => Date.now() + clock.offset,
    });
    numbers.open(store);
    return { process, numbers };
  }

  let run = start();

  async function restart(): Promise<void> {
    if (isSetBack()) {
      clock.offset = 0;
      clock.isSynchronized ||= found() !== undefined;
    }
    run = start();
    await vi.advanceTimersByTimeAsync(0);
  }

  function kill(isTorn: boolean): void {
    run.process.isKilled = true;
    const { writing } = run.process;
    if (isTorn && writing !== undefined && !isLate) files[writing] = undefined;
    void run.numbers.stop();
  }

  function take(): boolean {
    const number = run.numbers.take();
    if (number === undefined) return false;
    if (drawn.has(number)) throw new Error(`${number} was drawn twice`);
    drawn.add(number);
    highest = Math.max(highest, number);
    return true;
  }

  /** Restores files of an earlier time, or none, where the clock is right and has passed all that was drawn. */
  async function replaceFiles(next: StoredNumbers | undefined): Promise<void> {
    if (highest > clockFloor(Date.now())) return;
    kill(false);
    files = [next, next];
    isLate = false;
    isReplaced = true;
    clock.offset = 0;
    await restart();
  }

  return {
    take,
    async follow(what: Step): Promise<void> {
      if (what.kind === 'take') for (let left = what.count; left > 0 && take(); left--);
      else if (what.kind === 'ask') for (let left = what.count; left > 0; left--) run.numbers.wait(take, ignore);
      else if (what.kind === 'pass') await vi.advanceTimersByTimeAsync(what.ms);
      else if (what.kind === 'clock') clock.offset = isSetBack() ? 0 : what.offset;
      else if (what.kind === 'sync')
        clock.isSynchronized = what.isSynchronized || (isSetBack() && found() !== undefined);
      else if (what.kind === 'disk') diskState = what.state;
      else if (what.kind === 'set back') await replaceFiles(backups[drawn.size % (backups.length + 1)]);
      else if (what.kind === 'lose both') await replaceFiles(undefined);
      else if (what.kind === 'kill') {
        kill(what.isTorn);
        await restart();
      } else if (what.kind === 'lose') {
        kill(false);
        if (!isLate) files[what.file] = undefined;
        await restart();
      } else {
        void run.numbers.stop();
        await vi.advanceTimersByTimeAsync(STOP_MS + 1);
        await restart();
      }
    },
    /** When nothing is wrong any more, numbers can be drawn again. */
    async recover(): Promise<void> {
      diskState = 'works';
      clock.isSynchronized = true;
      clock.offset = 0;
      await vi.advanceTimersByTimeAsync(120_000);
      const before = drawn.size;
      run.numbers.wait(take, ignore);
      await vi.advanceTimersByTimeAsync(MAX_WAIT_MS - 1);
      expect(drawn.size).toBe(before + 1);
      kill(false);
      await vi.advanceTimersByTimeAsync(STOP_MS);
      expect(vi.getTimerCount()).toBe(0);
    },
  };
}

describe('over all runs of the agent', () => {
  it('no number is drawn twice, whatever happens to clock, disk and process, and none is wanting when all is well', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 100, size: 'max' }), async (steps) => {
        vi.setSystemTime(NOW);
        vi.clearAllTimers();
        const device = startDevice();
        for (const each of steps) {
          await device.follow(each);
          // What is written at once is written.
          await vi.advanceTimersByTimeAsync(0);
        }
        await device.recover();
      }),
      { seed: SEED, numRuns: 300 },
    );
  });
});

describe('an agent that crashes again and again while its clock is not synchronised', () => {
  beforeEach(() => void vi.useRealTimers());

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
