import type { Config } from '../../config/schema.js';
import type { Endpoint } from '../endpoint.js';
import type { Transport } from '../transport.js';

/** The transport over the UDP sockets of a modem. */
export interface ModemTransport extends Transport {
  /**
   * Sets whether the recovery may interrupt the modem's radio (switch it off and on, reset the modem); by default it
   * may. It may not while UDP is in use, which the same modem may carry.
   */
  allowInterruption(allowed: boolean): void;
}

export interface ModemOptions extends Omit<Config['modem'], 'path'> {
  /** The modem's serial port. */
  readonly path: string;
  /** The device ports to listen on. */
  readonly ports: readonly number[];
  readonly gateway: Endpoint;
  /** The folder of what survives a restart; undefined keeps nothing. */
  readonly stateFolder: string | undefined;
}
