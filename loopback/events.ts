import type { StoredCommand } from './store.js';
import type { WebhookResult } from './webhooks.js';

/** Where a dropped datagram came from: an address that is no SIM's, or a SIM that wrote to the source port. */
export type DropCause = 'unknown-source' | 'to-source-port' | 'detached';

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
      readonly address: string;
      readonly port: number;
      readonly bytes: number;
    }
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
  droppedDetached: number;
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
    droppedDetached: 0,
    webhooks: 0,
    webhooksFailed: 0,
  };
}

const DROP_COUNTERS = {
  'unknown-source': 'droppedUnknownSource',
  'to-source-port': 'droppedToSourcePort',
  detached: 'droppedDetached',
} as const satisfies Record<DropCause, keyof Counters>;

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
  } else if (event.type === 'webhook') {
    counters.webhooks += 1;
    if (!event.result.ok) counters.webhooksFailed += 1;
  }
}
