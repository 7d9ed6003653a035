import { describe, expect, it } from 'vitest';
import { createSecondLimit } from '../../../agent/security/second-limit.js';

describe('createSecondLimit', () => {
  it('allows so many in a second, and as many again in the next', () => {
    let time = 5000;
    const mayHappen = createSecondLimit(2, () => time);
    expect([mayHappen(), mayHappen(), mayHappen()]).toEqual([true, true, false]);
    time = 5999;
    expect(mayHappen()).toBe(false);
    time = 6000;
    expect([mayHappen(), mayHappen(), mayHappen()]).toEqual([true, true, false]);
  });

  it('allows none of the next second in advance after a second without any', () => {
    let time = 0;
    const mayHappen = createSecondLimit(1, () => time);
    time = 3000;
    expect([mayHappen(), mayHappen()]).toEqual([true, false]);
  });
});
