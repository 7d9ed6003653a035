import type { SimEvent } from './account/sims.js';
import type { StoredCommand } from './account/store.js';
import type { ApiFaultEvent, ApiFaultsEvent } from './api/faults.js';
import type { CommandEvent } from './command-delivery.js';
import type { AttachedModemEvent, ErrorEvent } from './modem/attach.js';
import type { DatagramDropCause, DroppedEvent, FaultEvent, FaultsEvent } from './network/events.js';
import type { Hit } from './network/faults/apply.js';
import type { WebhookResult } from './webhooks/webhooks.js';

/** Everything that happens in a loopback; each layer declares the events that it emits. */
export type LoopbackEvent =
  | CommandEvent
  | DroppedEvent
  | FaultEvent
  | FaultsEvent
  | ApiFaultEvent
  | ApiFaultsEvent
  /** An access token (KORE) was issued. */
  | { readonly type: 'token' }
  | SimEvent
  | AttachedModemEvent
  | { readonly type: 'webhook'; readonly result: WebhookResult }
  | ErrorEvent;

export type LoopbackListener = (event: LoopbackEvent) => void;

/** Numbers of events since the start. */
export type Counters = ReturnType<typeof newCounters>;

export function newCounters() {
  return {
    toSim: 0,
    fromSim: 0,
    /** Of these two, those that are protected by OSCORE. */
    toSimProtected: 0,
    fromSimProtected: 0,
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
} as const satisfies Record<DatagramDropCause, keyof Counters>;

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
} as const satisfies Record<ApiFaultEvent['fault'], keyof Counters>;

const STATUS_COUNTERS = {
  queued: 'toSim',
  received: 'fromSim',
  failed: 'failed',
  sent: undefined,
} as const satisfies Record<StoredCommand['status'], keyof Counters | undefined>;

const PROTECTED_COUNTERS = {
  queued: 'toSimProtected',
  received: 'fromSimProtected',
  failed: undefined,
  sent: undefined,
} as const satisfies Record<StoredCommand['status'], keyof Counters | undefined>;

/** Adds an event to the counters. */
export function count(counters: Counters, event: LoopbackEvent): void {
  if (event.type === 'command') {
    countCommand(counters, event);
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

function countCommand(counters: Counters, { command: { status }, coap, cutBytes }: CommandEvent): void {
  const counter = STATUS_COUNTERS[status];
  if (counter !== undefined) counters[counter] += 1;
  const protectedCounter = coap?.oscore && PROTECTED_COUNTERS[status];
  if (protectedCounter !== undefined) counters[protectedCounter] += 1;
  if (cutBytes !== undefined) counters.cut += 1;
}
