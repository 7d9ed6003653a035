import type { Driver } from './driver.js';
import type { createRecovery } from './recovery.js';
import type { Session } from './session.js';

/** While the modem is not registered it is asked more often. */
const UNREGISTERED_SHARE = 0.1;

export interface PollOptions {
  readonly driver: Driver;
  readonly session: Session;
  readonly recovery: ReturnType<typeof createRecovery>;
  readonly pollMs: number;
  readonly fail: (error: unknown) => void;
}

/** Looks now and then at what the modem may have failed to say: data that wait, a lost socket, another address. */
export function createPoll({ driver, session, recovery, pollMs, fail }: PollOptions) {
  let timer: NodeJS.Timeout | undefined;
  let running = false;

  async function look(): Promise<void> {
    const { poll } = session.dialect() ?? {};
    for (const socket of session.sockets()) {
      try {
        await driver.run(poll?.(socket) ?? nothing());
      } catch (error) {
        session.lost(socket);
        throw error;
      }
    }
    const before = session.health();
    const { address } = await session.checkHealth();
    if (!running) return;
    recovery.registered(session.isRegistered());
    if (!session.isRegistered() || address === before?.address) return;
    session.lostAll();
    if (address === undefined) recovery.trouble('context', 'the modem has no address any more');
    else recovery.trouble('socket', `the modem has another address: ${address}`);
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

function* nothing() {}
