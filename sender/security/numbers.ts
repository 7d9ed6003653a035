import { SupersimError } from '../../shared/errors.js';
import {
  clockFloor,
  MAX_SEQUENCE_NUMBER,
  NUMBERS_PER_SECOND,
  nextSequenceNumber,
} from '../../shared/oscore/sequence-number.js';
import { readInstallation, refuseCopy } from './home.js';
import type { KeyStore } from './key-store.js';

/** A number that is further ahead of the clock was drawn when the clock was wrong: it is not waited for. */
const MOST_AHEAD = 60 * NUMBERS_PER_SECOND;

/** Draws sequence numbers. They are on the disk when the promise resolves, and no process draws them again. */
export type DrawNumber = () => Promise<number>;

export interface NumberOptions {
  /** The identity of this machine. */
  readonly machine: () => string;
  /** Milliseconds since 1970. */
  readonly now?: (() => number) | undefined;
  readonly sleep: (ms: number) => Promise<void>;
}

/**
 * Makes the drawing of numbers from the file with the keys, shared by all processes of this installation. Numbers that are
 * wanted together are drawn together, as each writing waits for the disk. None is given before the clock has reached it, so
 * that a restored backup begins above all that were drawn.
 *
 * The drawing rejects with SupersimError `keys-copied` where the file was made elsewhere, and `keys-unusable`.
 */
export function createNumberSource(store: KeyStore, { machine, now = Date.now, sleep }: NumberOptions): DrawNumber {
  let waiting: { readonly resolve: (number: number) => void; readonly reject: (error: unknown) => void }[] = [];

  /** @returns the first of so many numbers */
  function reserve(count: number): number {
    refuseCopy(store, machine());
    const { last } = readInstallation(store);
    const first = nextSequenceNumber(last, clockFloor(now()));
    if (typeof first === 'string' || first + count - 1 > MAX_SEQUENCE_NUMBER) throw exhausted();
    store.run('UPDATE installation SET last = ?', [first + count - 1]);
    return first;
  }

  function drawAll(): void {
    const draws = waiting;
    waiting = [];
    try {
      const first = store.transaction(() => reserve(draws.length));
      for (const [index, { resolve }] of draws.entries()) resolve(first + index);
    } catch (error) {
      for (const { reject } of draws) reject(error);
    }
  }

  return async () => {
    const number = await new Promise<number>((resolve, reject) => {
      if (waiting.push({ resolve, reject }) === 1) setImmediate(drawAll);
    });
    const ahead = number - clockFloor(now());
    if (ahead > 0 && ahead <= MOST_AHEAD) await sleep(Math.ceil((ahead * 1000) / NUMBERS_PER_SECOND));
    return number;
  };
}

const exhausted = () => new SupersimError('keys-unusable', 'all sequence numbers have been used');
