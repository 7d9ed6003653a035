import { isSupersimError } from '../../shared/errors.js';
import type { Log } from '../log.js';
import { formatEndpoint, type Transport } from '../transport/transport.js';
import type { Counters } from './counters.js';
import { createMinuteLog } from './minute-log.js';
import type { Outbox, OutboxMessage } from './outbox.js';

/** How often what waits is tried again. */
const RETRY_MS = 1000;

/** What is to leave. */
export interface Outgoing extends Pick<OutboxMessage, 'bytes' | 'destination' | 'port' | 'via'> {
  /** `signal`: what is worth nothing later, such as an acknowledgement or what is repeated anyway. */
  readonly kind: OutboxMessage['kind'] | 'signal';
}

/** @param done told whether it has left, or waits in the outbox; with the reason if it is lost */
export type Send = (outgoing: Outgoing, done?: (error?: Error) => void) => void;

export type Delivery = ReturnType<typeof createDelivery>;

export interface DeliveryOptions {
  readonly transport: Transport;
  /** Without it what cannot leave at once is lost. */
  readonly outbox: Outbox | undefined;
  /** How long something may wait. */
  readonly keepMs: number;
  readonly counters: Counters;
  readonly log: Log;
}

/** Sends replies and events; what cannot leave waits in the outbox, and leaves in its order. */
export function createDelivery({ transport, outbox, keepMs, counters, log }: DeliveryOptions) {
  const minuteLog = createMinuteLog(log);
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  function send(outgoing: Outgoing, done: (error?: Error) => void = ignore): void {
    // Nothing overtakes what waits.
    if (outbox !== undefined && outbox.size.entries > 0 && outgoing.kind !== 'signal' && !stopped) {
      keep(outgoing, outbox);
      done();
    } else {
      transmit(outgoing, (error) => {
        done(error === undefined || missed(outgoing, error) ? undefined : error);
      });
    }
  }

  /** @returns whether it waits now */
  function missed(outgoing: Outgoing, error: Error): boolean {
    counters.unsent++;
    const waits = outbox !== undefined && outgoing.kind !== 'signal' && !stopped && !canNeverLeave(error);
    if (waits) keep(outgoing, outbox);
    const details = { to: formatEndpoint(outgoing.destination), error: error.message };
    minuteLog('unsent', details, waits ? 'no way out: it waits in the outbox' : 'datagram lost');
    return waits;
  }

  function transmit({ bytes, destination, port, via }: Outgoing, done: (error?: Error) => void): void {
    const sent = (error?: Error) => {
      if (error === undefined) {
        counters.sent++;
        counters.sentBytes += bytes.length;
      }
      done(error);
    };
    transport.send(bytes, destination, port, sent, via);
  }

  function keep({ bytes, destination, port, via, kind }: Outgoing, where: Outbox): void {
    if (kind !== 'signal') where.push({ bytes, destination, port, via, kind, expiresAt: Date.now() + keepMs });
    retryLater();
  }

  function retryLater(): void {
    if (outbox === undefined || outbox.size.entries === 0 || stopped) return;
    timer ??= setTimeout(() => {
      drain(outbox).finally(() => {
        timer = undefined;
        retryLater();
      });
    }, RETRY_MS);
  }

  /** One that cannot leave holds up only what has the same destination and is no shorter: a link may take less. */
  async function drain(from: Outbox): Promise<void> {
    const unreachable = new Map<string, number>();
    for (const item of from.waiting()) {
      const to = formatEndpoint(item.destination);
      if (stopped || item.bytes.length >= (unreachable.get(to) ?? Number.POSITIVE_INFINITY)) continue;
      const error = await new Promise<Error | undefined>((resolve) => transmit(item, resolve));
      if (error === undefined) from.remove(item.seq);
      else if (canNeverLeave(error)) {
        from.remove(item.seq);
        minuteLog('unsent', { to, error: error.message }, 'datagram lost');
      } else unreachable.set(to, item.bytes.length);
    }
  }

  return {
    send,
    /** Begins to send what waited when the last agent ended. */
    start: retryLater,
    stop(): void {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

const canNeverLeave = (error: Error) => isSupersimError(error, 'too-large');

const ignore = () => undefined;
