import { messageOf } from '../../../shared/errors.js';
import type { Log } from '../../base/log.js';
import type { ModemEvent } from './at/modem-event.js';
import { remedyFor } from './port/port-error.js';
import { formatHolder, inTheWay, portHolders } from './port/port-holders.js';

/** To look takes some time on a device with many processes. */
const LOOK_INTERVAL_MS = 60_000;

/**
 * Finds out who else has the modem's port open: its lock keeps out who asks for it, and not ModemManager, nor anything
 * of root's. Each is named in the log once.
 */
export function createRivalWatch(path: string, log: Log, now: () => number = () => performance.now()) {
  const named = new Set<number>();
  let lookedAt = Number.NEGATIVE_INFINITY;

  /** @param isSuspected something is wrong that another program may have caused */
  function look(isSuspected: boolean): Promise<void> {
    return find(isSuspected).catch((error: unknown) => {
      log.debug({ path, error: messageOf(error) }, 'nobody knows who has the modem’s port open');
    });
  }

  async function find(isSuspected: boolean): Promise<void> {
    const holders = (await portHolders(path)).filter(({ pid, certain }) => (certain || isSuspected) && !named.has(pid));
    const rivals = await inTheWay(path, holders);
    if (rivals.length === 0) return;
    for (const { pid } of rivals) named.add(pid);
    const remedy = remedyFor(rivals) ?? 'Stop it: each takes what the modem says to the other.';
    log.warn({ path, holders: rivals.map(formatHolder), remedy }, 'another program has the modem’s port open');
  }

  return {
    /** The port was just opened. */
    opened: (): Promise<void> => look(false),

    /** Somebody else's words are on the line, or the modem has gone silent. */
    suspect(): Promise<void> {
      if (now() - lookedAt < LOOK_INTERVAL_MS) return Promise.resolve();
      lookedAt = now();
      return look(true);
    },
  };
}

/** Whether it looks as if another program spoke to the modem: its echo, or a result that nobody here has asked for. */
export const isForeign = (event: ModemEvent): boolean =>
  (event.kind === 'discarded' && event.reason === 'foreign-echo') ||
  (event.kind === 'result' && event.command === undefined);
