import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { isSupersimError, messageOf, SupersimError, systemCodeOf } from '../../../shared/errors.js';
import { MAX_PAYLOAD_BYTES } from '../../../shared/limits.js';
import { createBackOff } from '../../base/backoff.js';
import type { Log } from '../../base/log.js';
import { type Endpoint, formatEndpoint, isVersion6, plainAddress } from '../endpoint.js';
import { createSentCounts, type SentCounts } from '../sent-counts.js';
import { type Datagram, onlyLink, type Transport, wallTime } from '../transport.js';
import { resolveAddress } from './address.js';
import { readKernelDrops } from './kernel-drops.js';
import { createSelfTest } from './self-test.js';

/**
 * Interval between look-ups of the address to listen on, to follow an interface that appears, disappears or changes.
 */
const FOLLOW_INTERVAL_MS = 1000;
/** How long a stop waits for sends in progress. */
const FLUSH_MS = 1000;

export interface UdpOptions {
  /** `auto`, an address, or an interface's name. */
  readonly listen: string;
  readonly ports: readonly number[];
  readonly gateway: Endpoint;
  /** Receive buffer to request for each socket, in bytes. */
  readonly receiveBufferBytes: number;
  /** Send counters. */
  readonly counts?: SentCounts | undefined;
}

export interface UdpTransport extends Transport {
  /** Sets another address or interface to listen on; it takes effect within 1 s. */
  listenOn(listen: string): void;
  /**
   * Returns whether a datagram from this host itself reached the device ports at the last test; undefined where that is
   * not known, as without an address.
   *
   * @param since a test that began before, in Unix milliseconds, counts as none, and another one begins
   */
  ownArrives(since?: number): boolean | undefined;
}

/**
 * Creates the transport over `node:dgram`: one unconnected socket for each device port, all on one address. It follows
 * changes of the address, and reopens its sockets with back-off when one of them fails.
 */
export function createUdpTransport(options: UdpOptions, log: Log): UdpTransport {
  const { counts = createSentCounts() } = options;
  const sockets = new Map<number, Socket>();
  const selfTest = createSelfTest(options.ports, log);
  const backOff = createBackOff();
  const created = performance.now();
  let { listen } = options;
  let address: string | undefined;
  /** Why there is no address, when it was looked up last. */
  let problem: string | undefined;
  /** Time when it last got or lost its address. */
  let changed = created;
  let receive: (datagram: Datagram) => void = () => undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  /** Whether a socket has failed since the last open. */
  let broken = false;
  let dropsOfClosed = 0;
  let sending = 0;
  let flushed: (() => void) | undefined;

  /** Opens all sockets on an address; none if one fails. */
  async function open(on: string): Promise<void> {
    try {
      for (const port of options.ports) sockets.set(port, await bind(on, port));
    } catch (error) {
      close();
      throw error;
    }
    address = on;
    changed = performance.now();
    const receiveBufferBytes = Math.min(...[...sockets.values()].map(usableReceiveBuffer));
    log.info({ address: on, ports: options.ports, receiveBufferBytes }, 'listening');
    if (receiveBufferBytes < options.receiveBufferBytes) {
      log.warn(
        { asked: options.receiveBufferBytes, got: receiveBufferBytes },
        `receive buffer: smaller than configured; raise it with sysctl -w net.core.rmem_max=${options.receiveBufferBytes}`,
      );
    }
  }

  function bind(on: string, port: number): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const v6 = isVersion6(on);
      const socket = createSocket({
        type: v6 ? 'udp6' : 'udp4',
        recvBufferSize: options.receiveBufferBytes,
        // Destinations are address literals: skip the resolver, which would be called for each datagram.
        lookup: (host, _options, callback) => (v6 ? callback(null, mapped(host), 6) : callback(null, host, 4)),
      });
      socket.once('error', (error) => {
        socket.close();
        reject(bindError(error, { address: on, port }));
      });
      socket.bind(port, on, () => {
        socket.removeAllListeners('error');
        socket.on('error', (error) => {
          broken = true;
          log.error({ error: error.message, address: on, port }, 'UDP socket failed; reopening all sockets');
        });
        socket.on('message', (bytes, remote) => deliver(bytes, remote, port));
        resolve(socket);
      });
    });
  }

  function deliver(bytes: Buffer, remote: RemoteInfo, port: number): void {
    if (selfTest.take(bytes, remote)) return;
    const source = { address: plainAddress(remote.address), port: remote.port };
    receive({ bytes, source, port, transport: 'udp', receivedAt: performance.now() });
  }

  function close(): void {
    dropsOfClosed += openDrops() ?? 0;
    for (const socket of sockets.values()) {
      socket.removeAllListeners();
      socket.on('error', () => undefined);
      socket.close();
    }
    sockets.clear();
    if (address !== undefined) changed = performance.now();
    address = undefined;
    broken = false;
    selfTest.reset();
  }

  /** Brings the sockets to the address that should be listened on now. */
  async function follow(): Promise<void> {
    const { address: wanted, problem: why } = await resolveAddress(listen, options.gateway);
    if (stopped) return;
    if (why !== undefined && why !== problem && timer !== undefined)
      log.warn({ listen, reason: why }, 'no address to listen on');
    problem = why;
    if (wanted === address && !broken) {
      backOff.reset();
      return;
    }
    if (address !== undefined) {
      if (!broken) log.warn({ from: address, to: wanted }, wanted === undefined ? 'link down' : 'address changed');
      close();
    }
    if (wanted !== undefined) await open(wanted);
    if (stopped) close();
  }

  async function step(): Promise<void> {
    let delay = FOLLOW_INTERVAL_MS;
    try {
      await follow();
      void selfTest.check(address);
    } catch (error) {
      delay = backOff.next();
      const message = address === undefined ? 'cannot listen' : 'cannot look up the address to listen on';
      log.error({ error: messageOf(error), retryMs: Math.round(delay) }, message);
    }
    if (!stopped) timer = setTimeout(step, delay);
  }

  function flush(): Promise<void> {
    if (sending === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const bound = setTimeout(resolve, FLUSH_MS);
      flushed = () => {
        clearTimeout(bound);
        resolve();
      };
    });
  }

  /** Returns the drops of the open sockets. */
  function openDrops(): number | undefined {
    const on = address;
    if (on === undefined) return undefined;
    const counts = [...sockets.keys()].map((port) => readKernelDrops({ address: on, port }));
    return counts.reduce((sum, count) => (sum === undefined || count === undefined ? undefined : sum + count), 0);
  }

  return {
    name: 'udp',
    async start(onDatagram) {
      receive = onDatagram;
      try {
        await follow();
      } catch (error) {
        if (isSupersimError(error)) throw error;
        log.error({ error: messageOf(error), listen }, 'cannot listen yet');
      }
      if (stopped) return;
      if (address === undefined)
        log.warn({ listen, gateway: options.gateway.address, reason: problem }, 'no link: waiting for an address');
      timer = setTimeout(step, FOLLOW_INTERVAL_MS);
    },
    send(bytes, destination, port, done) {
      const socket = sockets.get(port);
      if (socket === undefined) {
        counts.failed++;
        done(new SupersimError('link-down', `no address to send to ${formatEndpoint(destination)} from`));
        return;
      }
      sending++;
      const sent = (error: unknown) => {
        sending--;
        if (sending === 0) flushed?.();
        if (error) counts.failed++;
        else {
          counts.sent++;
          counts.sentBytes += bytes.length;
        }
        done(error ? sendError(error, destination) : undefined);
      };
      try {
        socket.send(bytes, destination.port, destination.address, sent);
      } catch (error) {
        // Node throws for destination port 0, which the source of a datagram may be.
        sent(error);
      }
    },
    ownArrives(since) {
      void selfTest.check(address, since);
      return selfTest.arrives;
    },
    listenOn(other) {
      listen = other;
    },
    maxBytes: () => MAX_PAYLOAD_BYTES,
    link() {
      const up = address !== undefined;
      const reason = up ? undefined : `no address to listen on${problem === undefined ? '' : `: ${problem}`}`;
      return onlyLink({ name: 'udp', up, reason, since: wallTime(changed), address }, wallTime(created));
    },
    address: () => address,
    kernelDrops: () => (address === undefined ? dropsOfClosed : sumDrops(dropsOfClosed, openDrops())),
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await flush();
      close();
    },
  };
}

const sumDrops = (closed: number, open: number | undefined) => (open === undefined ? undefined : closed + open);

/** Maps an IPv4 destination to the form that a dual-stack IPv6 socket takes. */
const mapped = (host: string) => (isVersion6(host) ? host : `::ffff:${host}`);

/**
 * Returns the usable size: Linux doubles the requested size for its own bookkeeping, and reports the double
 * (socket(7)).
 */
function usableReceiveBuffer(socket: Socket): number {
  const reported = socket.getRecvBufferSize();
  return process.platform === 'linux' ? reported / 2 : reported;
}

function sendError(error: unknown, destination: Endpoint): Error {
  return new SupersimError('link-down', `cannot send to ${formatEndpoint(destination)}: ${messageOf(error)}`, {
    cause: error,
  });
}

function bindError(error: Error, local: Endpoint): Error {
  const code = systemCodeOf(error);
  if (code === 'EADDRINUSE') {
    return new SupersimError('port-in-use', `another process listens on UDP ${formatEndpoint(local)}`, {
      cause: error,
    });
  }
  if (code === 'EACCES') {
    return new SupersimError('port-forbidden', `this user may not listen on UDP ${formatEndpoint(local)}`, {
      cause: error,
    });
  }
  return error;
}
