import { describe, expect, it } from 'vitest';
import {
  createTurnLength,
  LEAST_MS,
  MOST_MS,
  PATIENT_TURNS,
  READ_AT_ONCE,
} from '../../../../agent/command/peers/turn-length.js';

/** Returns the lengths of so many turns that each read so much. */
const lengths = (turnLength: (read: number) => number, turns: number, read: number) =>
  Array.from({ length: turns }, () => turnLength(read));

describe('the time for handling', () => {
  it('is whole as long as the sockets are read empty', () => {
    expect(new Set(lengths(createTurnLength(), 100, READ_AT_ONCE - 1))).toEqual(new Set([MOST_MS]));
  });

  it('stays whole for 256 commands of senders that wait for the replies', () => {
    const turnLength = createTurnLength();
    for (let round = 0; round < 10; round++) {
      expect(new Set(lengths(turnLength, 256 / READ_AT_ONCE, READ_AT_ONCE))).toEqual(new Set([MOST_MS]));
      turnLength(0);
    }
  });

  it('is cut in half each turn while they are not, down to its least', () => {
    const turnLength = createTurnLength();
    lengths(turnLength, PATIENT_TURNS, READ_AT_ONCE);
    expect(lengths(turnLength, 3, READ_AT_ONCE)).toEqual([MOST_MS / 2, MOST_MS / 4, MOST_MS / 8]);
    expect(lengths(turnLength, 20, READ_AT_ONCE).at(-1)).toBe(LEAST_MS);
  });

  it('grows slowly, so that what it starts shows before there is too much of it', () => {
    const turnLength = createTurnLength();
    lengths(turnLength, 100, READ_AT_ONCE);
    const grown = lengths(turnLength, 1000, 0);
    expect(grown[49]).toBeLessThan(3 * LEAST_MS);
    expect(grown.at(-1)).toBe(MOST_MS);
  });
});
