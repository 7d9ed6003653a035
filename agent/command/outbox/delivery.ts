import { isSupersimError, SupersimError } from '../../../shared/errors.js';
import { createRateLimitedLog, type Log } from '../../base/log.js';
import { formatEndpoint } from '../../transport/endpoint.js';
import type { Transport } from '../../transport/transport.js';
import type { RateCause, Rates } from '../peers/rates.js';
import type { Stats } from '../stats/stats.js';
import type { Outbox, OutboxMessage } from './outbox.js';

/** Interval between retries of the outbox. */
const RETRY_MS = 1000;

/** A datagram to send. */
export interface Outgoing extends Pick<OutboxMessage, 'bytes' | 'destination' | 'port' | 'via'> {
  /** A `signal`, such as an acknowledgement or a retransmission, is useless later: it never waits in the outbox. */
  readonly kind: OutboxMessage['kind'] | 'signal';
  /** The source address of the request that it answers; undefined for an event. */
  readonly holder?: string;
}

/** State of a reply or an event: sent, or in the outbox on disk, or in memory when the disk cannot be written. */
export type DeliveryState = 'sent' | 'on-disk' | 'in-memory';

/** @param done called with an error when the datagram is lost, else with its state */
export type Send = (outgoing: Outgoing, done?: Done) => void;

type Done = (error?: Error, where?: DeliveryState) => void;

export type Delivery = ReturnType<typeof createDelivery>;

export interface DeliveryOptions {
  readonly transport: Transport;
  /** Without an outbox, datagrams that cannot be sent at once are lost. */
  readonly outbox: Outbox | undefined;
  /** How long a datagram may wait in the outbox. */
  readonly keepMs: number;
  readonly rates: Pick<Rates, 'take' | 'giveBack'>;
  readonly stats: Pick<Stats, 'sent' | 'unsent' | 'heldBack'>;
  readonly log: Log;
}

/**
 * Sends replies and events. Those that cannot be sent wait in the outbox, and are sent in order; what a rate holds back does
 * not wait.
 */
export function createDelivery({ transport, outbox, keepMs, rates, stats, log }: DeliveryOptions) {
  const minuteLog = createRateLimitedLog(log);
  /** Ways out for which datagrams wait. */
  let busyWays = waysOf(outbox);
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  function send(outgoing: Outgoing, done: Done = ignore): void {
    const { destination, holder = DEVICE } = outgoing;
    const exceeded = rates.take(destination.address, holder);
    if (exceeded !== undefined) {
      holdBack(outgoing, exceeded, done);
      return;
    }
    const unsent = (error: Error) => {
      rates.giveBack(destination.address, holder);
      missed(outgoing, error, done);
    };
    // Datagrams stay in order.
    if (isBehindOthers(outgoing)) unsent(BEHIND_OTHERS);
    else transmit(outgoing, (error) => (error ? unsent(error) : done(undefined, 'sent')));
  }

  function holdBack({ destination }: Outgoing, cause: RateCause, done: Done): void {
    stats.heldBack(cause);
    const error = new SupersimError('rate-limited', `not sent: ${EXCEEDED[cause]}`);
    minuteLog(cause, { to: formatEndpoint(destination), error: error.message }, 'datagram held back');
    done(error);
  }

  const isBehindOthers = (outgoing: Outgoing): boolean =>
    outbox !== undefined &&
    outbox.size.entries > 0 &&
    outgoing.kind !== 'signal' &&
    !stopped &&
    busyWays.has(wayOf(outgoing));

  function missed(outgoing: Outgoing, error: Error, done: Done): void {
    stats.unsent();
    let waits = false;
    // Called later also for a datagram that was dropped at the bound.
    const written = (unwritten?: Error) => {
      if (waits) done(undefined, unwritten === undefined ? 'on-disk' : 'in-memory');
    };
    waits = !canNeverLeave(error) && keep(outgoing, written);
    const details = { to: formatEndpoint(outgoing.destination), error: error.message };
    if (waits) minuteLog('waiting', details, 'no way out: it waits in the outbox');
    else {
      minuteLog('lost', details, 'datagram lost');
      done(error);
    }
  }

  function transmit({ bytes, destination, port, via }: Omit<Outgoing, 'kind'>, done: (error?: Error) => void): void {
    const sent = (error?: Error, link = transport.name) => {
      if (error === undefined) stats.sent(bytes, link);
      done(error);
    };
    transport.send(bytes, destination, port, sent, via);
  }

  function transmitAtRate(outgoing: Omit<Outgoing, 'kind'>, done: (error?: Error) => void): void {
    const { address } = outgoing.destination;
    if (rates.take(address, DEVICE) !== undefined) {
      done(TOO_SOON);
      return;
    }
    transmit(outgoing, (error) => {
      if (error !== undefined) rates.giveBack(address, DEVICE);
      done(error);
    });
  }

  /** @returns whether the datagram waits in the outbox */
  function keep({ kind, ...outgoing }: Outgoing, written: (error?: Error) => void): boolean {
    if (outbox === undefined || kind === 'signal' || stopped) return false;
    const { bytes, destination, port, via } = outgoing;
    const waits = outbox.push({ bytes, destination, port, via, kind, expiresAt: Date.now() + keepMs }, written);
    busyWays.add(wayOf(outgoing));
    retryLater();
    return waits;
  }

  function retryLater(): void {
    if (outbox === undefined || outbox.size.entries === 0 || stopped) return;
    timer ??= setTimeout(() => {
      drain(outbox).finally(() => {
        busyWays = waysOf(outbox);
        timer = undefined;
        retryLater();
      });
    }, RETRY_MS);
  }

  /**
   * Sends what waits, and what comes to wait meanwhile. One that cannot leave holds up only what has the same way and
   * is no shorter: there may be a link that takes less.
   */
  async function drain(from: Outbox): Promise<void> {
    const closed = new Map<string, number>();
    for (let left = true; left; ) {
      left = false;
      for (const item of from.waiting()) {
        const way = wayOf(item);
        if (stopped || item.bytes.length >= (closed.get(way) ?? Number.POSITIVE_INFINITY)) continue;
        const error = await new Promise<Error | undefined>((resolve) => transmitAtRate(item, resolve));
        if (error === undefined || canNeverLeave(error)) {
          from.remove(item.seq);
          left = true;
        } else closed.set(way, item.bytes.length);
        if (error !== undefined && canNeverLeave(error)) {
          minuteLog('lost', { to: formatEndpoint(item.destination), error: error.message }, 'datagram lost');
        }
      }
    }
  }

  return {
    send,
    /** Starts to send the datagrams that waited when the previous run ended. */
    start(): void {
      outbox?.onLoaded(() => {
        busyWays = waysOf(outbox);
        retryLater();
      });
    },
    stop(): void {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

const canNeverLeave = (error: Error) => isSupersimError(error, 'too-large');

/** A destination and a device port, which may no longer be configured. */
const wayOf = ({ destination, port }: Pick<Outgoing, 'destination' | 'port'>): string =>
  `${port} ${formatEndpoint(destination)}`;

const waysOf = (outbox: Outbox | undefined): Set<string> => new Set(outbox?.waiting().map(wayOf));

const EXCEEDED: Readonly<Record<RateCause, string>> = {
  'from-sim-rate': 'more messages to the network than limits.fromSimPerHour allows',
  'peer-rate': 'more replies to this address than limits.repliesPerSecond allows',
};

/** Events, and what waits in the outbox, are the device's own messages. */
const DEVICE = 'device';

/** A datagram of the outbox stays there. */
const TOO_SOON = new SupersimError('rate-limited', 'its rate is used up');
const BEHIND_OTHERS = new SupersimError('link-down', 'earlier datagrams wait for the same destination');

const ignore = () => undefined;
