import { SupersimError } from '../../../shared/errors.js';
import type { Endpoint } from '../endpoint.js';
import type { ModemFault } from './at/script.js';

/** Most that waits for the modem; what is above waits in the outbox. */
const MAX_DATAGRAMS = 256;
const MAX_BYTES = 262_144;

const SOCKET_AFTER = 3;

/**
 * What is taken to be wrong after so many sends that failed in a row although nothing else is: the socket, then the
 * context, again after twice as many, as it may be just the datagram.
 */
export function faultAfterFailedSends(failures: number): ModemFault | undefined {
  if (failures === SOCKET_AFTER) return 'socket';
  const rounds = failures / (2 * SOCKET_AFTER);
  return rounds >= 1 && Number.isInteger(Math.log2(rounds)) ? 'context' : undefined;
}

export interface Outgoing {
  readonly bytes: Buffer;
  readonly destination: Endpoint;
  readonly port: number;
  readonly done: (error?: Error) => void;
}

/** Datagrams that leave one after the other; each is told whether it has, in order. */
export function createSendQueue(transmit: (outgoing: Outgoing) => Promise<void>) {
  let waiting: Outgoing[] = [];
  let bytes = 0;
  let sending = false;
  let emptied: (() => void) | undefined;

  async function pump(): Promise<void> {
    if (sending) return;
    sending = true;
    for (let next = take(); next !== undefined; next = take()) {
      const { done } = next;
      await transmit(next).then(() => done(), done);
    }
    sending = false;
    emptied?.();
  }

  function take(): Outgoing | undefined {
    const next = waiting.shift();
    bytes -= next?.bytes.length ?? 0;
    return next;
  }

  return {
    push(outgoing: Outgoing): void {
      if (waiting.length >= MAX_DATAGRAMS || bytes + outgoing.bytes.length > MAX_BYTES) {
        outgoing.done(new SupersimError('link-down', `${waiting.length} datagrams already wait for the modem`));
        return;
      }
      waiting.push(outgoing);
      bytes += outgoing.bytes.length;
      void pump();
    },

    /** What waits does not leave; what is being sent has its own end. */
    fail(error: Error): void {
      const failed = waiting;
      waiting = [];
      bytes = 0;
      for (const { done } of failed) done(error);
    },

    /** Waits, for so long, until all has left. */
    async flush(withinMs: number): Promise<void> {
      if (!sending) return;
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        emptied = resolve;
        timer = setTimeout(resolve, withinMs);
      });
      clearTimeout(timer);
    },
  };
}
