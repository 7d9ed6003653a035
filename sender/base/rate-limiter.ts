import { createTokenBucket } from './token-bucket.js';

/** What is under way goes before what is begun with. */
export type Urgency = 'first' | 'later';

export interface Turns {
  /**
   * Waits for a turn.
   *
   * @returns to be called once, when it is over; rejects when the signal is aborted before
   */
  take(urgency: Urgency, signal: AbortSignal): Promise<() => void>;
}

export interface TurnsOptions {
  readonly atOnce: number;
  /** Most that begin in a second; default: as they come. */
  readonly rate?: number | undefined;
  /** A clock that nobody sets, in milliseconds. */
  readonly now?: (() => number) | undefined;
}

/** Turns, so many at once, and no more in a second than the rate allows. */
export function createTurns({ atOnce, rate, now }: TurnsOptions): Turns {
  const untilToken = rate === undefined ? () => 0 : createTokenBucket(rate, now);
  const waiting = { first: new Set<() => void>(), later: new Set<() => void>() };
  let free = atOnce;
  let timer: NodeJS.Timeout | undefined;

  function next(): void {
    clearTimeout(timer);
    while (free > 0) {
      const [begin] = waiting.first.size > 0 ? waiting.first : waiting.later;
      if (begin === undefined) return;
      const wait = untilToken();
      if (wait > 0) {
        timer = setTimeout(next, wait);
        return;
      }
      free--;
      begin();
    }
  }

  function end(): void {
    free++;
    next();
  }

  return {
    async take(urgency, signal) {
      signal.throwIfAborted();
      const queue = waiting[urgency];
      await new Promise<void>((resolve, reject) => {
        const leave = () => {
          queue.delete(begin);
          signal.removeEventListener('abort', giveUp);
        };
        const begin = () => {
          leave();
          resolve();
        };
        const giveUp = () => {
          leave();
          reject(signal.reason);
          next();
        };
        signal.addEventListener('abort', giveUp);
        queue.add(begin);
        next();
      });
      return end;
    },
  };
}
