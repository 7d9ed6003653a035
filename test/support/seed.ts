/** The seed of every property test, so that a run can be repeated; fast-check prints it with the failing case. */
export const SEED = 20_260_101;

/** Random numbers that are the same in every run: mulberry32. */
export function seededRandom(seed: number) {
  let state = seed >>> 0;
  /** From 0 to `below` - 1. */
  const integer = (below: number): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
  return {
    integer,
    bytes: (length: number): Buffer => Buffer.from(Array.from({ length }, () => integer(256))),
    pick<T>(from: readonly [T, ...T[]]): T {
      return from[integer(from.length)] ?? from[0];
    },
  };
}

export type SeededRandom = ReturnType<typeof seededRandom>;
