import type { ErrorCode } from '../../../shared/errors.js';
import type { DeviceOutcome } from '../../../shared/outcome.js';

/** The command that ended last. */
export interface LastCommand {
  /** Undefined where it had none that could be read. */
  readonly name: string | undefined;
  readonly outcome: DeviceOutcome;
  /** The error code, where it ended in one. */
  readonly code: ErrorCode | undefined;
  readonly peer: string;
  readonly transport: string;
  /** When it ended, on the monotonic clock. */
  readonly at: number;
}

/** The datagram that left last. */
export interface LastSent {
  readonly bytes: number;
  readonly transport: string;
  /** When, on the monotonic clock. */
  readonly at: number;
}

/** What came last, for whoever asks how the agent is doing. */
export interface Last {
  command: LastCommand | undefined;
  sent: LastSent | undefined;
}

export const createRecent = (): Last => ({ command: undefined, sent: undefined });
