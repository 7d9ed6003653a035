export interface Places {
  /**
   * Takes a place, when one is free.
   *
   * @returns what frees it, to be called once; rejects when the signal is aborted before
   */
  take(signal: AbortSignal): Promise<() => void>;
}

/** So many places; who finds none waits, in the order of coming. */
export function createPlaces(most: number): Places {
  const waiting = new Set<() => void>();
  let free = most;

  function leave(): void {
    const [next] = waiting;
    if (next === undefined) free++;
    else next();
  }

  const wait = (signal: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      const end = () => {
        waiting.delete(enter);
        signal.removeEventListener('abort', giveUp);
      };
      const enter = () => {
        end();
        resolve();
      };
      const giveUp = () => {
        end();
        reject(signal.reason);
      };
      signal.addEventListener('abort', giveUp);
      waiting.add(enter);
    });

  return {
    async take(signal) {
      signal.throwIfAborted();
      if (free > 0) free--;
      else await wait(signal);
      return leave;
    },
  };
}
