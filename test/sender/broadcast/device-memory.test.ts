import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { isRecent, mayHaveLostJournal, RESUME_WITHIN_MS } from '../../../sender/broadcast/device-memory.js';

const NOW = Date.UTC(2026, 2, 1);
const ID = '0123456789ab';

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a device may remember a command', () => {
  it.each([
    [0, true],
    [RESUME_WITHIN_MS - 1, true],
    [RESUME_WITHIN_MS, false],
    [-59_999, true],
    [-60_000, false],
  ])('that was sent %i ms ago: %s', (age, recent) => {
    expect(isRecent(NOW - age)).toBe(recent);
  });
});

describe('a device may have lost its journal', () => {
  const lost = (journal: string | undefined, id: string | undefined, age: number) =>
    mayHaveLostJournal({ startedAt: NOW - 3_600_000, journal }, id === undefined ? undefined : { id, age });

  it.each<[string, boolean, string | undefined, string | undefined, number]>([
    ['is the one that it had', false, ID, ID, 0],
    ['is another, however old', true, ID, 'ba9876543210', 1e9],
    ['is no longer told', true, ID, undefined, 0],
    ['has never been told', false, undefined, undefined, 0],
    ['is younger than the command', true, undefined, ID, 3599],
    ['is older than the command by less than two clocks may differ', true, undefined, ID, 3659],
    ['is older than the command', false, undefined, ID, 3660],
  ])('that %s: %s', (_, expected, stored, told, age) => {
    expect(lost(stored, told, age)).toBe(expected);
  });
});
