import type { DeviceOutcome } from '../../../shared/outcome.js';
import { createSentCounts, type SentCounts } from '../../transport/sent-counts.js';
import type { RefusalCause } from '../admit.js';

/** Upper bounds of a histogram's buckets, in seconds: handlers take microseconds, programs minutes. */
export const BOUNDS: readonly number[] = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
/** How many handlers are measured, each by its own name. */
const MAX_HANDLERS = 256;

/** How often something took how long. */
export interface Histogram {
  /** For each of {@link BOUNDS} how often it was at most that and more than the one before; the last: more than all. */
  readonly counts: Float64Array;
  /** Of all times together, in seconds. */
  sum: number;
}

/** What is measured of a handler's commands. */
export interface HandlerMeter {
  readonly outcomes: Record<DeviceOutcome, number>;
  /** How long it ran. */
  readonly runs: Histogram;
}

/** What is counted of a transport's datagrams. */
export interface TransportMeter extends SentCounts {
  /** By what became of them. */
  readonly received: Record<RefusalCause | 'admitted' | 'malformed', number>;
  receivedBytes: number;
}

/**
 * What is measured for whoever collects metrics. Plain numbers, as they are added to for each datagram; there are only
 * so many of them, whatever comes: names that no handler has are counted together.
 */
export interface Meters {
  /** Measures these handlers, up to 256 in all, by their names. */
  know(names: Iterable<string>): void;
  readonly handlers: ReadonlyMap<string, HandlerMeter>;
  /** Names that no handler has, what has no name, and handlers above the bound. */
  readonly others: HandlerMeter;
  handler(name: string | undefined): HandlerMeter;
  readonly transports: Readonly<Record<'udp' | 'modem', TransportMeter>>;
  transport(name: string): TransportMeter;
  /** From a datagram's receipt until its reply was given to the transport. */
  readonly replies: Histogram;
}

export function createMeters(): Meters {
  const handlers = new Map<string, HandlerMeter>();
  const others = createHandlerMeter();
  const transports = { udp: createTransportMeter(), modem: createTransportMeter() };
  // What comes by no link is not counted as if it had.
  const noTransport = createTransportMeter();
  return {
    know(names) {
      for (const name of names) {
        if (handlers.size < MAX_HANDLERS && !handlers.has(name)) handlers.set(name, createHandlerMeter());
      }
    },
    handlers,
    others,
    handler: (name) => (name === undefined ? undefined : handlers.get(name)) ?? others,
    transports,
    transport: (name) => (name === 'udp' || name === 'modem' ? transports[name] : noTransport),
    replies: createHistogram(),
  };
}

const createHistogram = (): Histogram => ({ counts: new Float64Array(BOUNDS.length + 1), sum: 0 });

const createHandlerMeter = (): HandlerMeter => ({
  outcomes: { done: 0, failed: 0, refused: 0, interrupted: 0 },
  runs: createHistogram(),
});

const createTransportMeter = (): TransportMeter => ({
  received: { admitted: 0, source: 0, empty: 0, oversize: 0, malformed: 0 },
  receivedBytes: 0,
  ...createSentCounts(),
});

/** Adds a time to a histogram. */
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
