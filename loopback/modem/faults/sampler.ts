import { includes } from '../../network/faults/apply.js';
import { numberedRandom } from '../../network/faults/random.js';
import type { Hits } from '../../network/faults/settings.js';

/** Kinds of things that faults hit; the things of each kind are numbered from 1. */
const KINDS = [
  'urcLoss',
  'urcDuplicate',
  'urcBetween',
  'urcExtra',
  'lineLoss',
  'byteLoss',
  'garbage',
  'sendFail',
  'sendBusy',
  'place',
  'noise',
  'byteDamage',
] as const;
const SALTS: readonly string[] = KINDS;
type Kind = (typeof KINDS)[number] | `error ${string}`;
export type FaultKind = Exclude<(typeof KINDS)[number], 'place' | 'noise'> | 'error';

/** Decides by chance what is hit: the same for the same seed and the same things in the same order. */
export interface Sampler {
  /** Returns random numbers for the details when the next thing of this kind is hit, else undefined. */
  sample(kind: Kind, hits: Hits): (() => number) | undefined;
  /** Returns a random number from 0 up to but not 1. */
  random(kind: Kind): number;
}

export function createSampler(seed: number): Sampler {
  const counts = new Map<string, number>();
  function next(kind: Kind) {
    const number = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, number);
    return { number, random: numberedRandom(seed, SALTS.indexOf(kind) + 1, number) };
  }
  return {
    sample(kind, hits) {
      const { number, random } = next(kind);
      return includes(hits, number, random()) ? random : undefined;
    },
    random: (kind) => next(kind).random(),
  };
}
