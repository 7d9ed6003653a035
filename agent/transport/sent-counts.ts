import type { Transport } from './transport.js';

/** Counters of the datagrams to send by a transport. */
export interface SentCounts {
  sent: number;
  sentBytes: number;
  /** Datagrams that could not be sent. */
  failed: number;
}

export const createSentCounts = (): SentCounts => ({ sent: 0, sentBytes: 0, failed: 0 });

/** Wraps a transport of one link so that it counts. UDP counts by itself, as this costs a closure for each datagram. */
export const countSent = <T extends Transport>(transport: T, counts: SentCounts): T => ({
  ...transport,
  send(bytes, destination, port, done, via) {
    const sent = (error?: Error) => {
      if (error === undefined) {
        counts.sent++;
        counts.sentBytes += bytes.length;
      } else counts.failed++;
      done(error);
    };
    transport.send(bytes, destination, port, sent, via);
  },
});
