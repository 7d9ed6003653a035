import type { ErrorCode } from '../../../shared/errors.js';
import type { DeviceOutcome } from '../../../shared/outcome.js';

/** How many refused sources are kept for each cause. */
const MAX_REFUSED_SOURCES = 8;

/** The command that ended last. */
export interface RecentCommand {
  /** Undefined when its request could not be read. */
  readonly name: string | undefined;
  readonly outcome: DeviceOutcome;
  /** The error code, when it ended in one. */
  readonly code: ErrorCode | undefined;
  readonly peer: string;
  readonly transport: string;
  /** Monotonic milliseconds at its end. */
  readonly at: number;
}

/** The datagram that left last. */
export interface RecentDatagram {
  readonly bytes: number;
  readonly transport: string;
  /** Monotonic milliseconds. */
  readonly at: number;
}

/** Datagrams of one source that were refused or malformed. */
export interface RefusedSource {
  /** `source`, `empty`, `oversize`, `overload`, `malformed`, or a {@link DenialCause}. */
  readonly cause: string;
  readonly address: string;
  /** How many datagrams, since the source is in this list. */
  readonly times: number;
  /** Unix milliseconds of the last one. */
  readonly at: number;
  /** Size of the last one. */
  readonly bytes: number;
}

export interface Recent {
  command: RecentCommand | undefined;
  sent: RecentDatagram | undefined;
  refused(cause: string, address: string, bytes: number): void;
  /** Returns the refused sources, the latest first. */
  refusedSources(): RefusedSource[];
}

/**
 * Keeps the last command, the last datagram sent, and the last few refused sources by cause, for `status` and doctor.
 */
export function createRecent(now: () => number = Date.now): Recent {
  const causes = new Map<string, Map<string, RefusedSource>>();
  return {
    command: undefined,
    sent: undefined,
    refused(cause, address, bytes) {
      const sources = causes.get(cause) ?? new Map<string, RefusedSource>();
      causes.set(cause, sources);
      const times = (sources.get(address)?.times ?? 0) + 1;
      // A Map keeps insertion order: its first key is the oldest.
      sources.delete(address);
      sources.set(address, { cause, address, times, at: now(), bytes });
      const [oldest] = sources.keys();
      if (sources.size > MAX_REFUSED_SOURCES && oldest !== undefined) sources.delete(oldest);
    },
    refusedSources: () => [...causes.values()].flatMap((sources) => [...sources.values()]).sort((a, b) => b.at - a.at),
  };
}
