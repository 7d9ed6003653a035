import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { setTimeout as pause } from 'node:timers/promises';
import type { Log } from '../../base/log.js';
import { isSimAddress } from '../cellular.js';
import { isVersion6 } from '../endpoint.js';
import { readKernelQueue } from './kernel-drops.js';

/** Interval between tests. */
const INTERVAL_MS = 60_000;
/** The same after a test without a result, as when the address went meanwhile. */
const RETRY_MS = 5000;
/** How long a datagram may take within this host. */
const ARRIVAL_MS = 1000;
/** Interval between looks whether all have arrived. */
const LOOK_MS = 20;

/**
 * Tests whether a datagram from this host itself reaches the device ports, as one of any user here would. It arrives by
 * `lo`, and so is dropped where only the cellular interface is let in: the agent may not read the packet filter. The
 * datagram is empty: nothing happens even if it is taken for a command.
 */
export function createSelfTest(ports: readonly number[], log: Log) {
  /** Where the last two tests were sent from: a late datagram is still recognised. */
  let senders: number[] = [];
  let address: string | undefined;
  let arrived = false;
  let result: boolean | undefined;
  /** When the last test began; undefined when one is due. */
  let tested: number | undefined;
  /** Unix milliseconds of the same. */
  let testedWall = 0;

  return {
    /** Whether one arrived at the last test; undefined where that is not known. */
    get arrives() {
      return result;
    },
    /** Whether a received datagram is one of the test's, which nobody else is to see. */
    take(bytes: Uint8Array, remote: RemoteInfo): boolean {
      if (bytes.length > 0 || remote.address !== address || !senders.includes(remote.port)) return false;
      arrived = true;
      return true;
    },
    /** Forgets the result, as the device ports are closed. */
    reset(): void {
      address = undefined;
      result = undefined;
      tested = undefined;
    },
    /**
     * Runs a test if one is due. An address of this host only is no SIM's, and that of all interfaces is not one.
     *
     * @param since a test that began before, in Unix milliseconds, counts as none
     */
    async check(local: string | undefined, since = 0): Promise<void> {
      const now = performance.now();
      if (testedWall < since) {
        tested = undefined;
        result = undefined;
      }
      if (local === undefined || !isSimAddress(local) || ['0.0.0.0', '::'].includes(local)) return;
      if (tested !== undefined && now - tested < (result === undefined ? RETRY_MS : INTERVAL_MS)) return;
      tested = now;
      testedWall = Date.now();
      const found = await run(local).catch(() => undefined);
      if (tested !== now) return;
      if (found === true && result !== true)
        log.warn(
          { ports },
          'device ports: open to other interfaces and to users of this host; see supersim-agent secure',
        );
      if (found === false && result !== false) log.info({ ports }, 'device ports: closed to this host itself');
      result = found;
    },
  };

  /**
   * Sends a datagram to each device port, and one past them to know that datagrams within this host arrive at all.
   *
   * @returns undefined when that one did not arrive, or when datagrams still wait to be read
   */
  async function run(local: string): Promise<boolean | undefined> {
    const socket = createSocket(isVersion6(local) ? 'udp6' : 'udp4');
    let control = false;
    socket.on('message', () => {
      control = true;
    });
    socket.on('error', () => undefined);
    try {
      const own = await bind(socket, local);
      address = local;
      senders = [own, ...senders].slice(0, 2);
      arrived = false;
      for (const port of [...ports, own]) await send(socket, local, port);
      const end = performance.now() + ARRIVAL_MS;
      while (performance.now() < end && !arrived && address === local) await pause(LOOK_MS);
      if (arrived) return true;
      const isRead = ports.every((port) => readKernelQueue({ address: local, port }) === 0);
      return control && isRead ? false : undefined;
    } finally {
      socket.close();
    }
  }
}

/** @throws (rejects) when the address is gone, or there is no file descriptor left */
const bind = (socket: Socket, address: string): Promise<number> =>
  new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(0, address, () => resolve(socket.address().port));
  });

/** Resolves also when it cannot be sent: a rule may refuse it. */
const send = (socket: Socket, address: string, port: number): Promise<void> =>
  new Promise((resolve) => socket.send(Buffer.alloc(0), port, address, () => resolve()));
