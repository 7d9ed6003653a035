import type { Script } from './at/script.js';
import type { ModemStatistics } from './counters.js';
import type { Dialect } from './dialects/dialect.js';
import type { Driver } from './driver.js';
import type { createRecovery } from './recovery/recovery.js';
import { contextAddress } from './scripts/health.js';
import type { Session } from './session.js';

/** While the modem is not registered it is polled more often, by this factor. */
const UNREGISTERED_SHARE = 0.1;

export interface PollOptions {
  readonly driver: Driver;
  readonly session: Session;
  readonly recovery: ReturnType<typeof createRecovery>;
  readonly statistics: ModemStatistics;
  readonly pollMs: number;
  readonly onError: (error: unknown) => void;
}

/** Polls the modem for what it may have failed to announce: waiting data, a lost socket, another address. */
export function createPoll({ driver, session, recovery, statistics, pollMs, onError }: PollOptions) {
  let timer: NodeJS.Timeout | undefined;
  let running = false;

  async function poll(): Promise<void> {
    const dialect = session.dialect();
    if (dialect === undefined) return;
    for (const socket of session.sockets()) {
      try {
        await driver.run(countedPoll(dialect, socket));
      } catch (error) {
        session.removeSocket(socket);
        throw error;
      }
    }
    const before = session.health()?.address;
    const { address = before && (await askAgain()) } = await session.checkHealth();
    if (!running) return;
    recovery.registered(session.isRegistered());
    if (!session.isRegistered() || address === before) return;
    session.removeAllSockets();
    if (address === undefined) recovery.report('context', 'the modem has lost its address');
    else recovery.report('socket', `the modem has another address: ${address}`);
  }

  /** Asks for the address again: the answer may have been lost, and activating the context makes the SIM attach. */
  const askAgain = () => driver.run(contextAddress());

  function* countedPoll(dialect: Dialect, socket: number): Script<void> {
    statistics.beginPoll();
    try {
      yield* dialect.poll(socket);
    } finally {
      statistics.endPoll(dialect.receive !== undefined);
    }
  }

  function schedule(): void {
    clearTimeout(timer);
    if (!running) return;
    const ms = session.isRegistered() ? pollMs : pollMs * UNREGISTERED_SHARE;
    timer = setTimeout(() => {
      poll()
        .catch((error: unknown) => running && onError(error))
        .finally(schedule);
    }, ms);
  }

  return {
    /** Starts or stops polling. */
    run(now: boolean): void {
      running = now;
      schedule();
    },
  };
}
