import { includes } from '../../network/faults/apply.js';
import { numberedRandom } from '../../network/faults/random.js';
import type { Hits } from '../../network/faults/settings.js';

/** What faults hit; each kind has numbers of its own, from 1. */
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

/** Chance, the same for the same seed and the same things in their order. */
export interface Dice {
  /** Whether the next thing of this kind is hit; if so, random numbers for how. */
  throw(kind: Kind, hits: Hits): (() => number) | undefined;
  /** A random number, from 0 up to but not 1. */
  number(kind: Kind): number;
}

export function createDice(seed: number): Dice {
  const counts = new Map<string, number>();
  function next(kind: Kind) {
    const number = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, number);
    return { number, random: numberedRandom(seed, SALTS.indexOf(kind) + 1, number) };
  }
  return {
    throw(kind, hits) {
      const { number, random } = next(kind);
      return includes(hits, number, random()) ? random : undefined;
    },
    number: (kind) => next(kind).random(),
  };
}
