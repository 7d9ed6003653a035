/** Seeds are unsigned 32-bit integers. */
export const MAX_SEED = 2 ** 32 - 1;

const WAY_SALTS = { down: 0x243f6a88, up: 0x85a308d3 } as const;
const GOLDEN = 0x9e3779b9;

/**
 * Returns a generator of one packet's random numbers, from 0 up to but not 1, by splitmix32. They follow from the seed,
 * the direction and the packet's number: what hits the fifth packet up does not depend on packets down in between.
 */
export const packetRandom = (seed: number, way: 'down' | 'up', packet: number): (() => number) =>
  numberedRandom(seed, WAY_SALTS[way], packet);

/** Returns a generator for one of the numbered things of a kind; `salt` tells the kinds apart. */
export function numberedRandom(seed: number, salt: number, number: number): () => number {
  let state = mix(mix(seed ^ salt) + number);
  return () => {
    state = (state + GOLDEN) >>> 0;
    return mix(state) / 2 ** 32;
  };
}

/** The finalizer of MurmurHash3: every bit of the input changes each bit of the output in half of all cases. */
function mix(input: number): number {
  let mixed = Math.imul(input ^ (input >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
