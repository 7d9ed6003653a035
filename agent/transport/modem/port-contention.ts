import { messageOf } from '../../../shared/errors.js';
import { formatHolder } from '../../base/file-holders.js';
import type { Log } from '../../base/log.js';
import type { ModemEvent } from './at/modem-event.js';
import { remedyFor } from './port/port-error.js';
import { inTheWay, portHolders } from './port/port-holders.js';

/** A check takes some time on a device with many processes. */
const CHECK_INTERVAL_MS = 60_000;

/**
 * Finds and logs other programs that have the modem's port open, each once. The port's lock stops programs that ask for
 * it; ModemManager and programs of root open the port all the same.
 */
export function createContentionCheck(path: string, log: Log, now: () => number = () => performance.now()) {
  const logged = new Set<number>();
  let checkedAt = Number.NEGATIVE_INFINITY;

  /** @param isSuspected whether something went wrong that another program may have caused */
  function find(isSuspected: boolean): Promise<void> {
    return logHolders(isSuspected).catch((error: unknown) => {
      log.debug({ path, error: messageOf(error) }, 'cannot find out which programs have the modem’s port open');
    });
  }

  async function logHolders(isSuspected: boolean): Promise<void> {
    const holders = (await portHolders(path)).filter(
      ({ pid, certain }) => (certain || isSuspected) && !logged.has(pid),
    );
    const contenders = await inTheWay(path, holders);
    if (contenders.length === 0) return;
    for (const { pid } of contenders) logged.add(pid);
    const remedy =
      remedyFor(contenders) ?? 'Stop it: each of two programs on one port misses what the other one reads.';
    log.warn({ path, holders: contenders.map(formatHolder), remedy }, 'another program has the modem’s port open');
  }

  return {
    /** Checks after the port was opened. */
    opened: (): Promise<void> => find(false),

    /** Checks, at most once a minute, after foreign traffic on the line or a silent modem. */
    check(): Promise<void> {
      if (now() - checkedAt < CHECK_INTERVAL_MS) return Promise.resolve();
      checkedAt = now();
      return find(true);
    },
  };
}

/** Whether an event hints at another program on the port: its echo, or a result that no command of ours asked for. */
export const isForeign = (event: ModemEvent): boolean =>
  (event.kind === 'discarded' && event.reason === 'foreign-echo') ||
  (event.kind === 'result' && event.command === undefined);
