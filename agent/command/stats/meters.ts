import type { DeviceOutcome } from '../../../shared/outcome.js';
import { createSentCounts, type SentCounts } from '../../transport/sent-counts.js';
import type { RefusalCause } from '../peers/admit.js';

/** Upper bounds of a histogram's buckets, in seconds: handlers take microseconds, programs minutes. */
export const BOUNDS: readonly number[] = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
/** Most handlers that are measured by name. */
const MAX_HANDLERS = 256;

/** A histogram of durations. */
export interface Histogram {
  /** Observations per bucket: for each of {@link BOUNDS} up to that bound, and last those above all. */
  readonly counts: Float64Array;
  /** Sum of all durations, in seconds. */
  sum: number;
}

/** Measurements of a handler's commands. */
export interface HandlerMeter {
  readonly outcomes: Record<DeviceOutcome, number>;
  /** Durations of its runs. */
  readonly runs: Histogram;
}

/** Counts of a transport's datagrams. */
export interface TransportMeter extends SentCounts {
  /** Received datagrams by result. */
  readonly received: Record<RefusalCause | 'admitted' | 'malformed', number>;
  receivedBytes: number;
}

/**
 * Measurements for metrics: plain numbers, as they change with each datagram, and bounded in number: commands that no
 * handler has are counted together.
 */
export interface Meters {
  /** Adds handlers to measure by name, up to 256 in all. */
  know(names: Iterable<string>): void;
  readonly handlers: ReadonlyMap<string, HandlerMeter>;
  /** Unknown and unreadable commands, and handlers above the bound. */
  readonly others: HandlerMeter;
  readonly transports: Readonly<Record<'udp' | 'modem', TransportMeter>>;
  /** Datagrams of other transports, such as the probe: not reported. */
  readonly otherTransport: TransportMeter;
  /** Time from the receipt of a datagram until its reply was handed to the transport. */
  readonly replies: Histogram;
}

export function createMeters(): Meters {
  const handlers = new Map<string, HandlerMeter>();
  return {
    know(names) {
      for (const name of names) {
        if (handlers.size < MAX_HANDLERS && !handlers.has(name)) handlers.set(name, createHandlerMeter());
      }
    },
    handlers,
    others: createHandlerMeter(),
    transports: { udp: createTransportMeter(), modem: createTransportMeter() },
    otherTransport: createTransportMeter(),
    replies: createHistogram(),
  };
}

const createHistogram = (): Histogram => ({ counts: new Float64Array(BOUNDS.length + 1), sum: 0 });

const createHandlerMeter = (): HandlerMeter => ({
  outcomes: { done: 0, failed: 0, refused: 0, interrupted: 0 },
  runs: createHistogram(),
});

const createTransportMeter = (): TransportMeter => ({
  received: { admitted: 0, source: 0, empty: 0, oversize: 0, overload: 0, malformed: 0 },
  receivedBytes: 0,
  ...createSentCounts(),
});

/** Adds a duration to a histogram. */
export function observe(histogram: Histogram, milliseconds: number): void {
  const seconds = milliseconds / 1000;
  let bucket = 0;
  for (const bound of BOUNDS) {
    if (seconds <= bound) break;
    bucket++;
  }
  const { counts } = histogram;
  counts[bucket] = (counts[bucket] ?? 0) + 1;
  histogram.sum += seconds;
}
