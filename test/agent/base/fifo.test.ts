import { expect, it } from 'vitest';
import { createFifo } from '../../../agent/base/fifo.js';

it('gives back what was put in, in order, also after many rounds', () => {
  const fifo = createFifo<number>();
  const taken: (number | undefined)[] = [];
  let next = 0;
  for (let round = 0; round < 300; round++) {
    for (let count = 0; count < 3; count++) fifo.push(next++);
    expect(fifo.first).toBe(taken.length);
    for (let count = 0; count < (round < 150 ? 1 : 5); count++) taken.push(fifo.shift());
  }
  expect(taken).toEqual(Array.from({ length: next }, (_, index) => index));
  expect(fifo.length).toBe(0);
  expect(fifo.first).toBeUndefined();
  expect(fifo.shift()).toBeUndefined();
});
