import type { Transport } from './transport.js';

/** What is counted of the datagrams that are to leave by a transport. */
export interface SentCounts {
  sent: number;
  sentBytes: number;
  /** Could not leave by it. */
  failed: number;
}

export const createSentCounts = (): SentCounts => ({ sent: 0, sentBytes: 0, failed: 0 });

/** Has a transport of one link count what leaves by it. UDP does it itself: this costs a closure for each datagram. */
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
