import type { SimState } from './account/sims.js';
import type { StoredCommand } from './account/store.js';
import type { ModemEvent } from './modem/events.js';
import type { Hit } from './network/faults/apply.js';
import type { Way } from './network/faults/settings.js';
import type { WebhookResult } from './webhooks/webhooks.js';

/**
 * Why a datagram was dropped, other than by a fault: it came from an address that is no SIM's, went to the source port,
 * its SIM was not active (by now), or too many were on their way.
 */
export type DropCause = 'unknown-source' | 'to-source-port' | 'inactive' | 'detached' | 'too-many-in-flight';

/** What goes on in the loopback, as it happens. */
export type LoopbackEvent =
  /** A command was queued, sent or failed (to_sim), or received (from_sim). */
  | {
      readonly type: 'command';
      readonly command: StoredCommand;
      readonly simName: string;
      /** The vendor's code of a failed command. */
      readonly errorCode?: number;
      /** Bytes that a from_sim datagram had beyond the limit, and lost. */
      readonly cutBytes?: number;
    }
  | {
      readonly type: 'dropped';
      readonly cause: DropCause;
      /** The device's end. */
      readonly address: string;
      readonly port: number;
      readonly bytes: number;
    }
  /** A fault hit a packet; there is one event for each fault that did. */
  | ({
      readonly type: 'fault';
      readonly way: Way;
      /** The packet's number on its way since the faults were set, from 1. */
      readonly packet: number;
      readonly simName: string;
      /** Of the packet before the fault. */
      readonly bytes: number;
    } & Hit)
  /** Other faults were set, here as the command line writes them. */
  | { readonly type: 'faults'; readonly faults: string; readonly seed: number }
  /** A fault hit a request to the API. */
  | {
      readonly type: 'api-fault';
      readonly fault: 'busy' | 'unavailable' | 'answerLoss';
      /** The request's number since the faults were set, from 1. */
      readonly request: number;
      readonly method: string;
      readonly path: string;
    }
  /** Other faults of the API were set, here as the command line writes them. */
  | { readonly type: 'api-faults'; readonly faults: string; readonly seed: number }
  /** An access token (KORE) was issued. */
  | { readonly type: 'token' }
  /** A SIM's state was set. */
  | { readonly type: 'sim'; readonly simName: string; readonly state: SimState }
  /** Something goes on in the virtual modem. */
  | { readonly type: 'modem'; readonly event: ModemEvent }
  | { readonly type: 'webhook'; readonly result: WebhookResult }
  | { readonly type: 'error'; readonly message: string };

export type LoopbackListener = (event: LoopbackEvent) => void;

/** How many of each there were since the start. */
export interface Counters {
  toSim: number;
  fromSim: number;
  failed: number;
  cut: number;
  droppedUnknownSource: number;
  droppedToSourcePort: number;
  droppedInactive: number;
  droppedDetached: number;
  droppedTooManyInFlight: number;
  lost: number;
  duplicated: number;
  reordered: number;
  delayed: number;
  corrupted: number;
  truncated: number;
  apiBusy: number;
  apiUnavailable: number;
  apiAnswersLost: number;
  tokens: number;
  webhooks: number;
  webhooksFailed: number;
}

export function newCounters(): Counters {
  return {
    toSim: 0,
    fromSim: 0,
    failed: 0,
    cut: 0,
    droppedUnknownSource: 0,
    droppedToSourcePort: 0,
    droppedInactive: 0,
    droppedDetached: 0,
    droppedTooManyInFlight: 0,
    lost: 0,
    duplicated: 0,
    reordered: 0,
    delayed: 0,
    corrupted: 0,
    truncated: 0,
    apiBusy: 0,
    apiUnavailable: 0,
    apiAnswersLost: 0,
    tokens: 0,
    webhooks: 0,
    webhooksFailed: 0,
  };
}

const DROP_COUNTERS = {
  'unknown-source': 'droppedUnknownSource',
  'to-source-port': 'droppedToSourcePort',
  inactive: 'droppedInactive',
  detached: 'droppedDetached',
  'too-many-in-flight': 'droppedTooManyInFlight',
} as const satisfies Record<DropCause, keyof Counters>;

/** The counter of each fault. */
export const FAULT_COUNTERS = {
  loss: 'lost',
  duplicate: 'duplicated',
  reorder: 'reordered',
  delay: 'delayed',
  corrupt: 'corrupted',
  truncate: 'truncated',
} as const satisfies Record<Hit['fault'], keyof Counters>;

/** The counter of each fault of the API. */
export const API_FAULT_COUNTERS = {
  busy: 'apiBusy',
  unavailable: 'apiUnavailable',
  answerLoss: 'apiAnswersLost',
} as const satisfies Record<Extract<LoopbackEvent, { type: 'api-fault' }>['fault'], keyof Counters>;

const STATUS_COUNTERS = {
  queued: 'toSim',
  received: 'fromSim',
  failed: 'failed',
  sent: undefined,
} as const satisfies Record<StoredCommand['status'], keyof Counters | undefined>;

/** Adds an event to the counters. */
export function count(counters: Counters, event: LoopbackEvent): void {
  if (event.type === 'command') {
    const counter = STATUS_COUNTERS[event.command.status];
    if (counter !== undefined) counters[counter] += 1;
    if (event.cutBytes !== undefined) counters.cut += 1;
  } else if (event.type === 'dropped') {
    counters[DROP_COUNTERS[event.cause]] += 1;
  } else if (event.type === 'fault') {
    counters[FAULT_COUNTERS[event.fault]] += 1;
  } else if (event.type === 'api-fault') {
    counters[API_FAULT_COUNTERS[event.fault]] += 1;
  } else if (event.type === 'token') {
    counters.tokens += 1;
  } else if (event.type === 'webhook') {
    counters.webhooks += 1;
    if (!event.result.ok) counters.webhooksFailed += 1;
  }
}
