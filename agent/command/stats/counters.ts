import type { DeviceOutcome } from '../../../shared/outcome.js';
import type { NotStartedError } from '../../handlers/not-started.js';
import type { ProtectedRefusal } from '../../security/protection.js';
import type { RateCause } from '../peers/rates.js';

/** Why a datagram is held back: it would be too long an answer to a peer that is not proven, or too many are sent. */
export type HeldBackCause = 'size' | RateCause;

/**
 * Why a request was denied by what protects the device: it is not protected, or its protection does not hold (RFC 8613
 * §8.2); it may be an old one, and was challenged (`stale`); there is no number for its response (`numbers`); its key may
 * not call the command (`forbidden`).
 */
export type DenialCause = 'unprotected' | 'stale' | 'numbers' | 'forbidden' | ProtectedRefusal;

/** Counts of datagrams and commands since the start. */
export interface Counters {
  received: number;
  receivedBytes: number;
  /** From an address that is not allowed. */
  refusedSource: number;
  refusedEmpty: number;
  refusedOversize: number;
  /** More than could be handled, of the address that sent the most. */
  refusedOverload: number;
  /** In no known format, or in another than the port is pinned to. */
  malformed: number;
  /** CoAP messages of any kind. */
  coap: number;
  /** Replies received instead of commands: never answered. */
  strayReplies: number;
  /** Repeated commands, which were answered but did not run. */
  repeats: number;
  /** Requests in CoAP blocks that were given up for others before their last block came. */
  droppedTransfers: number;
  outcomes: Record<DeviceOutcome, number>;
  /** Commands whose program or service could not be started. */
  notStarted: Record<NotStartedError['code'], number>;
  sent: number;
  sentBytes: number;
  /** Replies and events that could not be sent at once. */
  unsent: number;
  /** Datagrams that were not sent because of a limit, by the limit. */
  heldBack: Record<HeldBackCause, number>;
  /** Requests that were denied, by the cause. */
  denied: Record<DenialCause, number>;
}

export const createCounters = (): Counters => ({
  received: 0,
  receivedBytes: 0,
  refusedSource: 0,
  refusedEmpty: 0,
  refusedOversize: 0,
  refusedOverload: 0,
  malformed: 0,
  coap: 0,
  strayReplies: 0,
  repeats: 0,
  droppedTransfers: 0,
  outcomes: { done: 0, failed: 0, refused: 0, interrupted: 0 },
  notStarted: { busy: 0, expired: 0, 'handler-unavailable': 0 },
  sent: 0,
  sentBytes: 0,
  unsent: 0,
  heldBack: { size: 0, 'peer-rate': 0, 'from-sim-rate': 0 },
  denied: {
    unprotected: 0,
    'unknown-kid': 0,
    'bad-tag': 0,
    replay: 0,
    stale: 0,
    forbidden: 0,
    malformed: 0,
    'malformed-plaintext': 0,
    'outer-block': 0,
    numbers: 0,
  },
});
