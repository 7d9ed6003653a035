import {
  clockFloor,
  MAX_SEQUENCE_NUMBER,
  NUMBERS_PER_SECOND,
  nextSequenceNumber,
} from '../../shared/oscore/sequence-number.js';
import { readInstallation, refuseCopy } from './store/home.js';
import { type KeyStore, unusableKeys } from './store/key-store.js';

/** A number that is further ahead of the clock was drawn when the clock was wrong: it is not waited for. */
const MOST_AHEAD = 60 * NUMBERS_PER_SECOND;

/**
 * Most numbers that are drawn together; the next wait until the clock has reached these. So what several processes draw
 * stays within {@link MOST_AHEAD}.
 */
const MAX_TOGETHER = NUMBERS_PER_SECOND;

const CLOCK = 'Correct the clock of this machine, if it is wrong.';

/** Draws sequence numbers. They are on the disk when the promise resolves, and no process draws them again. */
export type DrawNumber = () => Promise<number>;

export interface NumberOptions {
  /** The identity of this machine. */
  readonly machine: () => string;
  /** Milliseconds since 1970. */
  readonly now?: (() => number) | undefined;
  readonly sleep: (ms: number) => Promise<void>;
}

interface Draw {
  readonly resolve: (number: number) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Makes the drawing of numbers from the file with the keys, shared by all processes of this installation. Numbers that are
 * wanted together are drawn together, as each writing waits for the disk. None is given before the clock has reached it, so
 * that a restored backup begins above all that were drawn.
 *
 * The drawing rejects with SupersimError `keys-copied` where the file was made elsewhere, and `keys-unusable`.
 */
export function createNumberSource(store: KeyStore, { machine, now = Date.now, sleep }: NumberOptions): DrawNumber {
  const waiting: Draw[] = [];
  let drawing = false;

  /** @returns the first of so many numbers */
  function reserve(count: number): number {
    refuseCopy(store, machine());
    const { last } = readInstallation(store);
    const first = nextSequenceNumber(last, clockFloor(now()));
    if (typeof first === 'string' || first + count - 1 > MAX_SEQUENCE_NUMBER)
      throw unusableKeys(
        store.path,
        'no sequence number is left: they follow the clock, and end in 2059',
        undefined,
        CLOCK,
      );
    store.run('UPDATE installation SET last = ?', [first + count - 1]);
    return first;
  }

  /** Waits until the clock has reached a number. */
  async function reach(number: number): Promise<void> {
    const ahead = number - clockFloor(now());
    if (ahead > 0 && ahead <= MOST_AHEAD) await sleep(Math.ceil((ahead * 1000) / NUMBERS_PER_SECOND));
  }

  async function drawTogether(draws: readonly Draw[]): Promise<void> {
    try {
      const first = store.transaction(() => reserve(draws.length));
      for (const [index, { resolve }] of draws.entries()) resolve(first + index);
      await reach(first + draws.length - 1);
    } catch (error) {
      for (const { reject } of draws) reject(error);
    }
  }

  async function drawAll(): Promise<void> {
    while (waiting.length > 0) await drawTogether(waiting.splice(0, MAX_TOGETHER));
    drawing = false;
  }

  return async () => {
    const number = await new Promise<number>((resolve, reject) => {
      waiting.push({ resolve, reject });
      if (drawing) return;
      drawing = true;
      setImmediate(() => void drawAll());
    });
    await reach(number);
    return number;
  };
}
