import { describe, expect, it } from 'vitest';
import { createSlices } from '../../../agent/base/slices.js';

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

describe('calls in slices', () => {
  it('are made later, in their order, those that come meanwhile too', async () => {
    const { add } = createSlices();
    const made: string[] = [];
    add(() => {
      made.push('first');
      add(() => made.push('third'));
    });
    add(() => made.push('second'));
    expect(made).toEqual([]);
    await nextTurn();
    await nextTurn();
    expect(made).toEqual(['first', 'second', 'third']);
    add(() => made.push('fourth'));
    await nextTurn();
    expect(made.at(-1)).toBe('fourth');
  });

  it('are made in their order also while there always is one that waits', async () => {
    const { add } = createSlices();
    const made: number[] = [];
    const chain = (number: number) => () => {
      made.push(number);
      if (number < 5000) add(chain(number + 2));
    };
    add(chain(0));
    add(chain(1));
    while (made.length < 5000) await nextTurn();
    expect(made.slice(0, 5000)).toEqual(Array.from({ length: 5000 }, (_, number) => number));
  });

  it('leave turns of the event loop between them when they take long', async () => {
    const { add } = createSlices();
    let made = 0;
    const work = () => {
      made++;
      for (const end = performance.now() + 1; performance.now() < end; );
    };
    for (let call = 0; call < 10; call++) add(work);
    let turns = 0;
    for (; made < 10; turns++) await nextTurn();
    expect(turns).toBeGreaterThanOrEqual(10);
  });
});
