import type { DeviceOutcome } from '../../../shared/outcome.js';

/** What is counted of the datagrams and commands since the start. */
export interface Counters {
  received: number;
  receivedBytes: number;
  /** From an address that is not allowed. */
  refusedSource: number;
  refusedEmpty: number;
  refusedOversize: number;
  /** In no known format, or in another than the port is pinned to. */
  malformed: number;
  /** CoAP messages, whatever is in them. */
  coap: number;
  /** Replies that came where a command should: never answered. */
  strayReplies: number;
  /** Commands that came again, and were answered but not run. */
  repeats: number;
  outcomes: Record<DeviceOutcome, number>;
  sent: number;
  sentBytes: number;
  /** Replies and events that could not leave at once; they wait in the outbox. */
  unsent: number;
}

export const createCounters = (): Counters => ({
  received: 0,
  receivedBytes: 0,
  refusedSource: 0,
  refusedEmpty: 0,
  refusedOversize: 0,
  malformed: 0,
  coap: 0,
  strayReplies: 0,
  repeats: 0,
  outcomes: { done: 0, failed: 0, refused: 0, interrupted: 0 },
  sent: 0,
  sentBytes: 0,
  unsent: 0,
});
