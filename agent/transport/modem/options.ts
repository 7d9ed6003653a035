import type { Config } from '../../config/schema.js';
import type { Endpoint } from '../endpoint.js';
import type { Transport } from '../transport.js';

/** The transport by a modem's own sockets. */
export interface ModemTransport extends Transport {
  /**
   * Tells whether it may do what interrupts the modem: radio off and on, a reset. It may until it is told otherwise.
   * While UDP is used and works it may not, as the same modem may carry that.
   */
  allowInterruption(allowed: boolean): void;
}

export interface ModemOptions extends Omit<Config['modem'], 'path'> {
  /** Its serial port. */
  readonly path: string;
  /** The device ports to listen on. */
  readonly ports: readonly number[];
  readonly gateway: Endpoint;
  /** Where what must survive a restart lies; undefined where nothing does. */
  readonly stateFolder: string | undefined;
}
