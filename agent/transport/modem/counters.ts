import type { Notice } from './at/modem-event.js';
import type { Why } from './at/parser.js';
import { type Rung, well } from './recovery/ladder.js';

/** What was counted of a modem. All but the rungs, which outlive it, are since the agent's start. */
export interface ModemCounters {
  /** How often each rung of the recovery was done. */
  readonly rungs: Readonly<Record<Rung, number>>;
  /** Rungs that were not done, as UDP worked, which the same modem may carry. */
  readonly withheld: number;
  /** How often the serial port was opened. */
  readonly portOpened: number;
  /** How often the modem said by itself that data wait. */
  readonly dataUrcs: number;
  /** How often a poll found data that it had not said to wait. */
  readonly dataUrcsLost: number;
  readonly polls: number;
  /** Bytes from the modem that mean nothing, by the reason. */
  readonly discardedBytes: Readonly<Record<Why, number>>;
  /** How often that was. */
  readonly discarded: number;
}

/** Counts what a modem says, and what it should have said. */
export function createTally() {
  let portOpened = 0;
  let dataUrcs = 0;
  let dataUrcsLost = 0;
  let polls = 0;
  let discarded = 0;
  const discardedBytes: Record<Why, number> = {
    noise: 0,
    'not-text': 0,
    'unknown-line': 0,
    'bad-header': 0,
    'foreign-echo': 0,
    'line-too-long': 0,
    incomplete: 0,
    'not-hexadecimal': 0,
  };
  /** Of the poll that is going on. */
  let poll: { found: boolean; said: boolean } | undefined;

  return {
    opened(): void {
      portOpened++;
    },

    notice(notice: Notice): void {
      switch (notice.kind) {
        case 'datagram':
          if (poll !== undefined) poll.found = true;
          break;
        case 'pending':
          if (notice.asked === undefined) dataUrcs++;
          if (poll !== undefined) poll[notice.asked ? 'found' : 'said'] = true;
          break;
        case 'discarded':
          discarded++;
          discardedBytes[notice.why] += notice.bytes.length;
      }
    },

    beginPoll(): void {
      polls++;
      poll = { found: false, said: false };
    },

    /** @param reads false where payloads come by themselves: those that came meanwhile were said */
    endPoll(reads: boolean): void {
      if (reads && poll?.found && !poll.said) dataUrcsLost++;
      poll = undefined;
    },

    counters: (rungs: Readonly<Record<Rung, number>> | undefined, withheld: number): ModemCounters => ({
      rungs: rungs ?? well.counts,
      withheld,
      portOpened,
      dataUrcs,
      dataUrcsLost,
      polls,
      discardedBytes: { ...discardedBytes },
      discarded,
    }),
  };
}

export type Tally = ReturnType<typeof createTally>;
