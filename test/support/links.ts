import type { NetworkInterfaceInfo } from 'node:os';
import { silentLog } from '../../agent/base/log.js';
import type { Endpoint } from '../../agent/transport/endpoint.js';
import type { ModemTransport } from '../../agent/transport/modem/options.js';
import type { Datagram, ModemHealth, Transport } from '../../agent/transport/transport.js';
import { createUdpTransport } from '../../agent/transport/udp/udp.js';
import { randomAddress } from './udp.js';

export const MODEM_HEALTH: ModemHealth = {
  model: 'EG25',
  operator: '23415',
  registration: 'roaming',
  signalDbm: -71,
  iccid: '8988307000000000001',
  imei: '867698040000001',
  counters: {
    rungs: { socket: 2, context: 1, 'bring-up': 4, port: 0, airplane: 0, reset: 0, power: 0 },
    withheld: 3,
    portOpened: 5,
    dataUrcs: 120,
    dataUrcsLost: 6,
    polls: 700,
    discardedBytes: {
      noise: 40,
      'not-text': 0,
      'unknown-line': 2,
      'bad-header': 0,
      'foreign-echo': 0,
      'line-too-long': 0,
      incomplete: 0,
      'not-hexadecimal': 0,
    },
    discarded: 9,
  },
};

export interface PlayedModem extends ModemTransport {
  readonly listens: string;
  /** Sets the longest datagram that it takes. */
  take(most: number): void;
  /** Pulls its plug, or puts it back. */
  plug(isIn: boolean): Promise<void>;
  /** What it was told it may do, in order. */
  readonly interruptions: readonly boolean[];
}

/** A modem's part, played by a UDP transport on a loopback address of its own: its sockets are real. */
export function playModem(ports: readonly number[], gateway: Endpoint): PlayedModem {
  const listens = randomAddress();
  const interruptions: boolean[] = [];
  let most = 1300;
  const create = () =>
    createUdpTransport({ listen: listens, ports, gateway, receiveBufferBytes: 1_048_576 }, silentLog);
  let inner: Transport = create();
  let hand: (datagram: Datagram) => void = () => undefined;
  const begin = () => inner.start((datagram) => hand({ ...datagram, transport: 'modem' }));
  return {
    name: 'modem',
    listens,
    take: (bytes) => {
      most = bytes;
    },
    interruptions,
    allowInterruption: (allowed) => void interruptions.push(allowed),
    start(receive) {
      hand = receive;
      return begin();
    },
    send: (...outgoing) => inner.send(...outgoing),
    maxBytes: () => most,
    link() {
      const view = inner.link();
      const links = view.links.map((status) => ({ ...status, name: 'modem', modem: MODEM_HEALTH }));
      return { ...view, name: 'modem', links };
    },
    address: () => inner.address(),
    kernelDrops: () => undefined,
    async plug(isIn) {
      await inner.stop();
      if (!isIn) return;
      inner = create();
      await begin();
    },
    stop: () => inner.stop(),
  };
}

/** What `networkInterfaces()` says of these interfaces. */
export const interfacesOf = (all: Readonly<Record<string, readonly string[]>>) =>
  Object.fromEntries(
    Object.entries(all).map(([name, addresses]) => [
      name,
      addresses.map(
        (address): NetworkInterfaceInfo => ({
          address,
          family: 'IPv4',
          internal: false,
          mac: '00:00:00:00:00:00',
          netmask: '255.0.0.0',
          cidr: `${address}/8`,
        }),
      ),
    ]),
  );
