import { SupersimError } from '../../../shared/errors.js';
import type { Endpoint } from '../endpoint.js';
import type { ModemFault } from './at/script.js';

/** Bounds of the queue; further datagrams wait in the outbox. */
const MAX_DATAGRAMS = 256;
const MAX_BYTES = 262_144;

/** Failed sends in a row until the socket is reopened. */
const SOCKET_AFTER = 3;

/**
 * Returns the fault to assume after this many failed sends in a row without another fault: first the socket, then the
 * context, and the context again each time the number doubles, as the cause may be just the datagram.
 */
export function faultAfterFailedSends(failures: number): ModemFault | undefined {
  if (failures === SOCKET_AFTER) return 'socket';
  const rounds = failures / (2 * SOCKET_AFTER);
  return rounds >= 1 && Number.isInteger(Math.log2(rounds)) ? 'context' : undefined;
}

export interface QueuedDatagram {
  readonly bytes: Buffer;
  readonly destination: Endpoint;
  readonly port: number;
  readonly done: (error?: Error) => void;
}

/** Creates a queue that sends datagrams one after the other and calls `done` of each in order. */
export function createSendQueue(transmit: (outgoing: QueuedDatagram) => Promise<void>) {
  let waiting: QueuedDatagram[] = [];
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

  function take(): QueuedDatagram | undefined {
    const next = waiting.shift();
    bytes -= next?.bytes.length ?? 0;
    return next;
  }

  return {
    push(outgoing: QueuedDatagram): void {
      if (waiting.length >= MAX_DATAGRAMS || bytes + outgoing.bytes.length > MAX_BYTES) {
        outgoing.done(new SupersimError('link-down', `${waiting.length} datagrams already wait for the modem`));
        return;
      }
      waiting.push(outgoing);
      bytes += outgoing.bytes.length;
      void pump();
    },

    /** Fails all waiting datagrams; the one being sent ends by itself. */
    fail(error: Error): void {
      const failed = waiting;
      waiting = [];
      bytes = 0;
      for (const { done } of failed) done(error);
    },

    /** Waits until the queue is empty, at most this long. */
    async flush(timeoutMs: number): Promise<void> {
      if (!sending) return;
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        emptied = resolve;
        timer = setTimeout(resolve, timeoutMs);
      });
      clearTimeout(timer);
    },
  };
}
