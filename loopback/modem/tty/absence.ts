import type { Clock } from '../clock.js';

/** How long the tty is away: for a time, or, once it is unplugged, until it is plugged. */
export interface Absence {
  /** It is away now; resolves when it may come back. */
  begin(ms: number): Promise<void>;
  /** From now it may not come back; resolves when it is away, or plugged again before. */
  unplug(): Promise<void>;
  /** It may come back now, however long it was to be away. */
  plug(): void;
  isPlugged(): boolean;
  /** It is never away again. */
  close(): void;
}

export function createAbsence(clock: Clock): Absence {
  let plugged = true;
  let closed = false;
  /** Ends the one that there is. */
  let end: (() => void) | undefined;
  let cancelTimer = () => {};
  const unpluggers = new Set<() => void>();

  function tellUnpluggers(): void {
    for (const tell of unpluggers) tell();
    unpluggers.clear();
  }

  function plug(): void {
    plugged = true;
    cancelTimer();
    tellUnpluggers();
    end?.();
  }

  return {
    begin(ms) {
      tellUnpluggers();
      if (closed) return Promise.resolve();
      return new Promise((resolve) => {
        end = () => {
          end = undefined;
          resolve();
        };
        if (plugged) cancelTimer = clock.after(ms, end);
      });
    },
    unplug() {
      plugged = false;
      cancelTimer();
      if (end !== undefined || closed) return Promise.resolve();
      return new Promise((resolve) => unpluggers.add(resolve));
    },
    plug,
    isPlugged: () => plugged,
    close() {
      closed = true;
      plug();
    },
  };
}
