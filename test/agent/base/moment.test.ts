import { describe, expect, it } from 'vitest';
import { ageOf, systemClock } from '../../../agent/base/moment.js';

const at = (wall: number, monotonic: number, boot = 'a') => ({ wall, monotonic, boot });

describe('ageOf', () => {
  it.each([
    ['within a boot', at(1000, 10), at(1500, 510), { least: 500, likely: 500, most: 500 }],
    ['within a boot, the wall clock far ahead', at(1000, 10), at(9e12, 510), { least: 500, likely: 500, most: 500 }],
    ['within a boot, the wall clock back', at(9e12, 10), at(0, 510), { least: 500, likely: 500, most: 500 }],
    ['never negative', at(1000, 510), at(1000, 10), { least: 0, likely: 0, most: 0 }],
    ['over a boot', at(1000, 900), at(6000, 200, 'b'), { least: 200, likely: 5000, most: 5000 }],
    ['over a boot, the wall clock slow', at(1000, 900), at(1100, 200, 'b'), { least: 200, likely: 200, most: 200 }],
    [
      'over a boot, the wall clock back',
      at(1000, 900),
      at(500, 200, 'b'),
      { least: 200, likely: 200, most: Number.POSITIVE_INFINITY },
    ],
  ])('%s', (_, moment, now, age) => expect(ageOf(moment, now)).toEqual(age));
});

describe('systemClock', () => {
  it('has the same boot ID as other clocks of this machine', () => {
    const [one, other] = [systemClock()(), systemClock()()];
    expect(one.boot).toBe(other.boot);
    expect(ageOf(one, other).most).toBeLessThan(5000);
  });

  it('treats each process as a boot of its own without a boot ID', () => {
    expect(systemClock('/nonexistent')().boot).not.toBe(systemClock('/nonexistent')().boot);
  });
});
