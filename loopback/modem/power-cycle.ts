import { messageOf } from '../../shared/errors.js';
import type { ModemClock } from './clock.js';
import type { Core } from './core.js';
import type { ModemEvent } from './events.js';
import type { SerialLine } from './serial-line.js';
import { createAbsence } from './tty/absence.js';

export interface PowerCycleOptions {
  readonly clock: ModemClock;
  readonly line: SerialLine;
  /** How long the tty is away in a restart, as the faults say now. */
  readonly awayMs: () => number;
  /** Switches the modem on. */
  readonly createCore: () => Core;
  /** The modem is about to restart. */
  readonly onRestart: () => void;
  /** Output that was not written yet is to be discarded. */
  readonly clearOutput: () => void;
  readonly onAttached: (attached: boolean) => void;
  readonly onEvent: (event: ModemEvent) => void;
  readonly onError: (message: string) => void;
}

/** Switches the modem on and restarts it: in a restart the tty vanishes and comes back, perhaps with another path. */
export interface PowerCycle {
  /** The running modem; undefined while the tty is away. */
  core(): Core | undefined;
  isPlugged(): boolean;
  /** @throws SupersimError `pty-missing`, or `bad-input` for a link that cannot be made */
  start(): Promise<void>;
  /** Restarts the modem after `inMs`, in which its output can be read; resolved when it is back. */
  restart(why: string, inMs: number): Promise<void>;
  /** Resolved when the tty is gone. */
  unplug(): Promise<void>;
  /** Resolved when the tty is back. */
  plug(): Promise<void>;
  stop(): Promise<void>;
}

export function createPowerCycle(options: PowerCycleOptions): PowerCycle {
  const { clock, line, onEvent } = options;
  const absence = createAbsence(clock);
  let core: Core | undefined;
  let restarting: Promise<void> | undefined;
  let stopped = false;

  async function start(): Promise<void> {
    await line.appear();
    // It may have been unplugged meanwhile.
    if (!absence.isPlugged()) return;
    const path = line.path();
    if (path !== undefined) onEvent({ what: 'tty', path });
    core = options.createCore();
  }

  async function vanish(): Promise<void> {
    const path = line.path();
    options.clearOutput();
    await line.vanish();
    if (path !== undefined) onEvent({ what: 'tty' });
  }

  function restart(why: string, inMs: number): Promise<void> {
    if (restarting !== undefined || stopped) return restarting ?? Promise.resolve();
    onEvent({ what: 'restart', why });
    options.onRestart();
    core?.off();
    core = undefined;
    restarting = goThroughAbsence(inMs)
      .catch((error: unknown) => options.onError(`modem: ${messageOf(error)}`))
      .finally(() => {
        restarting = undefined;
      });
    return restarting;
  }

  async function goThroughAbsence(inMs: number): Promise<void> {
    options.onAttached(false);
    await line.flush(inMs);
    while (core === undefined) {
      await vanish();
      await absence.begin(options.awayMs());
      if (stopped) return;
      await start();
    }
  }

  return {
    core: () => core,
    isPlugged: absence.isPlugged,
    start,
    restart,
    unplug() {
      const gone = absence.unplug();
      void restart('unplugged', 0);
      return gone;
    },
    async plug() {
      absence.plug();
      await restarting;
    },
    async stop() {
      stopped = true;
      absence.close();
      await restarting;
      core?.off();
      await vanish();
    },
  };
}
