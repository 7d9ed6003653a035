import { isSupersimError, messageOf, SupersimError } from '../../../../shared/errors.js';
import { createBackOff } from '../../../base/backoff.js';
import type { Log } from '../../../base/log.js';
import { openPort, type Port, type PortOptions } from './port.js';

/** A port that was open for this long is reopened with a short delay when it is lost. */
const STEADY_MS = 10_000;

export interface ReopeningPortEvents {
  /** The port is open. The modem may have been reset meanwhile. */
  opened(device: string): void;
  data(bytes: Buffer): void;
  /** The port was lost, or an attempt to open it failed; the next attempt follows. */
  down(error: SupersimError): void;
}

export interface ReopeningPort {
  /** @throws SupersimError `modem-port-lost`, also while it is not open */
  write(bytes: Uint8Array): Promise<void>;
  /** Closes the port and opens it again, as after a loss. */
  reopen(why: string): void;
  close(): Promise<void>;
}

/**
 * Opens a serial port, and reopens it with back-off whenever it is lost.
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
  /** The previous port, which may still be closing: the next one is opened after that. */
  let previous: Port | undefined;
  let timer: NodeJS.Timeout | undefined;
  let opening: Promise<void> | undefined;
  let closed = false;
  let openedAt = 0;
  /** Error code of the last logged failure: each change is logged, not each attempt. */
  let logged: string | undefined;

  async function open(): Promise<void> {
    try {
      await previous?.close();
      const opened = await openPort(options, { data: events.data, lost });
      if (closed) return await opened.close();
      port = opened;
      previous = opened;
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
      lost(new SupersimError('modem-port-lost', `the serial port ${path} is being reopened: ${why}`));
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
