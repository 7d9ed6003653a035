import { isSupersimError, messageOf, SupersimError } from '../../../../shared/errors.js';
import { createBackOff } from '../../../base/backoff.js';
import type { Log } from '../../../base/log.js';
import { openPort, type Port, type PortOptions } from './port.js';

/** A port that has stayed open for so long is opened again without delay when it goes. */
const STEADY_MS = 10_000;

export interface ReopeningPortEvents {
  /** It is open; a modem behind it may have been reset. */
  opened(device: string): void;
  data(bytes: Buffer): void;
  /** It is not open any more, or could not be opened; it is tried again. Told for each attempt. */
  down(error: SupersimError): void;
}

export interface ReopeningPort {
  /** @throws SupersimError `modem-port-lost`, also while it is not open */
  write(bytes: Uint8Array): Promise<void>;
  /** Closes it and opens it again, as if it had been lost. */
  reopen(why: string): void;
  close(): Promise<void>;
}

/**
 * A serial port that is opened again, with back-off, whenever it is not there.
 *
 * @param pace how much faster than usual the back-off passes: more than 1 in tests
 */
export function createReopeningPort(
  options: PortOptions,
  events: ReopeningPortEvents,
  log: Log,
  pace = 1,
): ReopeningPort {
  const { path, baudRate } = options;
  const backOff = createBackOff();
  let port: Port | undefined;
  /** Still being closed, perhaps: two at once would be in each other's way. */
  let before: Port | undefined;
  let timer: NodeJS.Timeout | undefined;
  let opening: Promise<void> | undefined;
  let closed = false;
  let openedAt = 0;
  /** What is logged is the change, not each attempt. */
  let logged: string | undefined;

  async function open(): Promise<void> {
    try {
      await before?.close();
      const opened = await openPort(options, { data: events.data, lost });
      if (closed) return await opened.close();
      port = opened;
      before = opened;
    } catch (error) {
      down(isSupersimError(error) ? error : new SupersimError('modem-port-lost', messageOf(error), { cause: error }));
      return;
    }
    openedAt = performance.now();
    logged = undefined;
    log.info({ path, device: port.device, baudRate }, 'serial port open');
    events.opened(port.device);
  }

  function lost(error: SupersimError): void {
    port = undefined;
    if (performance.now() - openedAt >= STEADY_MS) backOff.reset();
    down(error);
  }

  function down(error: SupersimError): void {
    if (closed) return;
    const delay = backOff.next() / pace;
    const details = { path, code: error.code, error: error.message, retryMs: Math.round(delay) };
    if (logged === error.code) log.debug(details, 'no serial port');
    else log.warn({ ...details, remedy: error.remedy }, 'no serial port');
    logged = error.code;
    timer = setTimeout(begin, delay);
    events.down(error);
  }

  function begin(): void {
    opening = open();
  }

  begin();
  return {
    async write(bytes) {
      if (port === undefined) throw new SupersimError('modem-port-lost', `the serial port ${path} is not open`);
      return port.write(bytes);
    },
    reopen(why) {
      if (port === undefined) return;
      void port.close();
      lost(new SupersimError('modem-port-lost', `the serial port ${path} is opened again: ${why}`));
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      await opening;
      await port?.close();
      port = undefined;
    },
  };
}
