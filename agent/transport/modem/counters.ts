import type { DiscardReason, ModemCounters, Rung } from '../transport.js';
import type { ModemEvent } from './at/modem-event.js';
import { healthy } from './recovery/ladder.js';

/** Counts events of a modem, and announcements that it omitted. */
export function createModemStatistics() {
  let portOpened = 0;
  let dataUrcs = 0;
  let dataUrcsLost = 0;
  let polls = 0;
  let discarded = 0;
  const discardedBytes: Record<DiscardReason, number> = {
    noise: 0,
    'not-text': 0,
    'unknown-line': 0,
    'bad-header': 0,
    'foreign-echo': 0,
    'line-too-long': 0,
    incomplete: 0,
    'not-hexadecimal': 0,
  };
  /** The poll in progress: whether it found data, and whether the modem announced them. */
  let poll: { found: boolean; announced: boolean } | undefined;

  return {
    opened(): void {
      portOpened++;
    },

    event(event: ModemEvent): void {
      switch (event.kind) {
        case 'datagram':
          if (poll !== undefined) poll.found = true;
          break;
        case 'pending':
          if (event.asked === undefined) dataUrcs++;
          if (poll !== undefined) poll[event.asked ? 'found' : 'announced'] = true;
          break;
        case 'discarded':
          discarded++;
          discardedBytes[event.reason] += event.bytes.length;
      }
    },

    beginPoll(): void {
      polls++;
      poll = { found: false, announced: false };
    },

    /** @param reads false where the modem sends payloads unasked: a payload is its own announcement */
    endPoll(reads: boolean): void {
      if (reads && poll?.found && !poll.announced) dataUrcsLost++;
      poll = undefined;
    },

    counters: (rungs: Readonly<Record<Rung, number>> | undefined, deferred: number): ModemCounters => ({
      rungs: rungs ?? healthy.counts,
      withheld: deferred,
      portOpened,
      dataUrcs,
      dataUrcsLost,
      polls,
      discardedBytes: { ...discardedBytes },
      discarded,
    }),
  };
}

export type ModemStatistics = ReturnType<typeof createModemStatistics>;
