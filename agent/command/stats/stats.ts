import type { Log } from '../../base/log.js';
import type { Datagram } from '../../transport/transport.js';
import type { RefusalCause } from '../admit.js';
import { type CommandResult, type CommandSource, logCommand } from './command-log.js';
import { createCounters } from './counters.js';
import { createMeters, observe } from './meters.js';
import { createRecent } from './recent.js';

/** The one book of statistics: each event is reported once, and counted for `status` and for metrics. */
export type Stats = ReturnType<typeof createStats>;

const REFUSAL_COUNTERS = { source: 'refusedSource', empty: 'refusedEmpty', oversize: 'refusedOversize' } as const;

/** @param log gets a line `command` for each command that has ended */
export function createStats(log: Log) {
  const counters = createCounters();
  const meters = createMeters();
  const recent = createRecent();
  return {
    /** For `status`. */
    counters,
    /** For metrics. */
    meters,
    /** The last command and datagram, and the sources that were refused last. */
    recent,
    received({ bytes, transport }: Datagram): void {
      counters.received++;
      counters.receivedBytes += bytes.length;
      meters.transport(transport).receivedBytes += bytes.length;
    },
    admitted({ transport }: Datagram, format: CommandSource['format']): void {
      if (format === 'coap') counters.coap++;
      meters.transport(transport).received.admitted++;
    },
    refused(cause: RefusalCause, { bytes, source, transport }: Datagram): void {
      counters[REFUSAL_COUNTERS[cause]]++;
      meters.transport(transport).received[cause]++;
      recent.refused(cause, source.address, bytes.length);
    },
    malformed({ bytes, source, transport }: Datagram): void {
      counters.malformed++;
      meters.transport(transport).received.malformed++;
      recent.refused('malformed', source.address, bytes.length);
    },
    /** A reply was received instead of a command. */
    strayReply(): void {
      counters.strayReplies++;
    },
    repeated(): void {
      counters.repeats++;
    },
    ended(source: CommandSource, result: CommandResult): void {
      const { name, outcome, code } = logCommand(log, source, result);
      counters.outcomes[outcome]++;
      meters.handler(name).outcomes[outcome]++;
      const { peer, transport } = source;
      recent.command = { name, outcome, code, peer, transport, at: performance.now() };
    },
    /** @param milliseconds from the receipt of the datagram until its reply was handed to the transport */
    replied(milliseconds: number): void {
      observe(meters.replies, milliseconds);
    },
    sent(bytes: Uint8Array, transport: string): void {
      counters.sent++;
      counters.sentBytes += bytes.length;
      recent.sent = { bytes: bytes.length, transport, at: performance.now() };
    },
    /** A reply or an event could not be sent at once. */
    unsent(): void {
      counters.unsent++;
    },
  };
}
