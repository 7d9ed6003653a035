import { describe, expect, it } from 'vitest';
import { createRecentShares } from '../../../agent/base/shares.js';

const MOST = 1000;
const EXCHANGE_LIFETIME_MS = 365_000;

function fill(shares: ReturnType<typeof createRecentShares>, address: string, now = 0): number {
  let count = 0;
  while (shares.take(address, MOST, now)) count++;
  return count;
}

describe('an address', () => {
  it('may have three quarters taken in, and leaves the rest to others', () => {
    const shares = createRecentShares(MOST);
    expect(fill(shares, 'greedy')).toBe(750);
    expect(fill(shares, 'owner')).toBe(125);
    expect(fill(shares, 'greedy')).toBe(0);
  });

  it('gets its share back after the exchange lifetime, and not before', () => {
    const shares = createRecentShares(MOST);
    fill(shares, 'greedy', 29_000);
    expect(shares.take('greedy', MOST, 29_000 + EXCHANGE_LIFETIME_MS)).toBe(false);
    expect(fill(shares, 'greedy', 29_000 + EXCHANGE_LIFETIME_MS + 60_000)).toBe(750);
  });

  it('that sends at a constant rate is counted for about its lifetime only', () => {
    const shares = createRecentShares(MOST);
    for (let second = 0; second < 10_000; second++) expect(shares.take('steady', MOST, second * 1000)).toBe(true);
    expect(fill(shares, 'steady', 10_000_000)).toBeGreaterThan(300);
  });

  it('is counted together with others when there are thousands', () => {
    const shares = createRecentShares(1_000_000);
    for (let number = 0; number < 10_000; number++) expect(shares.take(`10.0.0.${number}`, MOST, 0)).toBe(true);
    expect(shares.take('new', MOST, 0)).toBe(true);
    expect(shares.take('new', MOST, 100 * EXCHANGE_LIFETIME_MS)).toBe(true);
  });
});
