import type { Script } from './at/script.js';
import type { Tally } from './counters.js';
import type { Dialect } from './dialects/dialect.js';
import type { Driver } from './driver.js';
import type { createRecovery } from './recovery/recovery.js';
import { contextAddress } from './scripts/health.js';
import type { Session } from './session.js';

/** While the modem is not registered it is asked more often. */
const UNREGISTERED_SHARE = 0.1;

export interface PollOptions {
  readonly driver: Driver;
  readonly session: Session;
  readonly recovery: ReturnType<typeof createRecovery>;
  readonly tally: Tally;
  readonly pollMs: number;
  readonly fail: (error: unknown) => void;
}

/** Looks now and then at what the modem may have failed to say: data that wait, a lost socket, another address. */
export function createPoll({ driver, session, recovery, tally, pollMs, fail }: PollOptions) {
  let timer: NodeJS.Timeout | undefined;
  let running = false;

  async function look(): Promise<void> {
    const dialect = session.dialect();
    if (dialect === undefined) return;
    for (const socket of session.sockets()) {
      try {
        await driver.run(countedPoll(dialect, socket));
      } catch (error) {
        session.lost(socket);
        throw error;
      }
    }
    const before = session.health()?.address;
    const { address = before && (await askAgain()) } = await session.checkHealth();
    if (!running) return;
    recovery.registered(session.isRegistered());
    if (!session.isRegistered() || address === before) return;
    session.lostAll();
    if (address === undefined) recovery.trouble('context', 'the modem has no address any more');
    else recovery.trouble('socket', `the modem has another address: ${address}`);
  }

  /** The answer may have been lost on the line, and to activate the context anew makes the SIM attach. */
  const askAgain = () => driver.run(contextAddress());

  function* countedPoll(dialect: Dialect, socket: number): Script<void> {
    tally.beginPoll();
    try {
      yield* dialect.poll(socket);
    } finally {
      tally.endPoll(dialect.receive !== undefined);
    }
  }

  function schedule(): void {
    clearTimeout(timer);
    if (!running) return;
    const ms = session.isRegistered() ? pollMs : pollMs * UNREGISTERED_SHARE;
    timer = setTimeout(() => {
      look()
        .catch((error: unknown) => running && fail(error))
        .finally(schedule);
    }, ms);
  }

  return {
    /** Begins, or ends. */
    run(now: boolean): void {
      running = now;
      schedule();
    },
  };
}
