import type { ModemClock } from '../clock.js';

/** Time without a tty: a duration, or, once unplugged, until it is plugged. */
export interface Absence {
  /** Begins an absence; resolves when the tty may come back. */
  begin(ms: number): Promise<void>;
  /** Unplugs the tty; resolves when it is away, or plugged again before. */
  unplug(): Promise<void>;
  /** Plugs the tty, which ends an absence of any duration. */
  plug(): void;
  isPlugged(): boolean;
  /** Ends the absence and prevents further ones. */
  close(): void;
}

export function createAbsence(clock: ModemClock): Absence {
  let plugged = true;
  let closed = false;
  /** Ends the current absence. */
  let end: (() => void) | undefined;
  let cancelTimer = () => {};
  const unplugWaiters = new Set<() => void>();

  function resolveUnplugWaiters(): void {
    for (const resolve of unplugWaiters) resolve();
    unplugWaiters.clear();
  }

  function plug(): void {
    plugged = true;
    cancelTimer();
    resolveUnplugWaiters();
    end?.();
  }

  return {
    begin(ms) {
      resolveUnplugWaiters();
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
      return new Promise((resolve) => unplugWaiters.add(resolve));
    },
    plug,
    isPlugged: () => plugged,
    close() {
      closed = true;
      plug();
    },
  };
}
