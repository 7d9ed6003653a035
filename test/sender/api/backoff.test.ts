import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  BACKOFF_BASE,
  BACKOFF_CAP,
  fullJitter,
  MAX_RETRY_AFTER,
  parseRetryAfter,
  retryDelay,
} from '../../../sender/api/backoff.js';

const NOW = Date.parse('2026-03-01T12:00:00Z');

describe('fullJitter', () => {
  it('doubles the upper bound with each retry, up to the cap', () => {
    const longest = [0, 1, 2, 3, 4, 5, 6, 100].map((retry) => fullJitter(retry, 1));
    expect(longest).toEqual([250, 500, 1000, 2000, 4000, 8000, 8000, 8000]);
  });

  it('starts at 0', () => {
    expect(fullJitter(3, 0)).toBe(0);
  });

  it('is from 0 to the cap for every random number', () => {
    fc.assert(
      fc.property(fc.nat(2000), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (retry, random) => {
        const delay = fullJitter(retry, random);
        return delay >= 0 && delay < BACKOFF_CAP && delay <= BACKOFF_BASE * 2 ** retry;
      }),
    );
  });
});

describe('parseRetryAfter', () => {
  it.each([
    ['0', 0],
    ['3', 3000],
    [' 3 ', 3000],
    ['60', MAX_RETRY_AFTER],
    ['61', MAX_RETRY_AFTER],
    ['999999999', MAX_RETRY_AFTER],
    ['Sun, 01 Mar 2026 12:00:07 GMT', 7000],
    ['Sun, 01 Mar 2026 11:59:00 GMT', 0],
    ['Mon, 01 Mar 2027 12:00:00 GMT', MAX_RETRY_AFTER],
  ])('reads %j as %i ms', (header, wait) => {
    expect(parseRetryAfter(header, NOW)).toBe(wait);
  });

  it.each([[null], [''], ['-5'], ['1.5'], ['soon'], ['2026-03-01'], ['9999999999'], ['Sun, 99 Abc 2026 12:00:07 GMT']])(
    'finds no sense in %j',
    (header) => {
      expect(parseRetryAfter(header, NOW)).toBeUndefined();
    },
  );
});

describe('retryDelay', () => {
  it('is at least what the server asked for, with jitter', () => {
    expect(retryDelay(0, 3000, 0)).toBe(3000);
    expect(retryDelay(0, 3000, 0.5)).toBe(3125);
    expect(retryDelay(1, undefined, 0.5)).toBe(250);
  });
});
