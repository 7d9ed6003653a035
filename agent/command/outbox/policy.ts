import type { Moment } from '../../base/moment.js';

export const OUTBOX_KINDS = ['reply', 'event'] as const;

/** Why an entry was dropped. */
export type DropCause = 'count' | 'bytes' | 'expired';

/** An entry of the outbox. */
export interface OutboxItem {
  readonly seq: number;
  readonly bytes: Buffer;
  readonly destination: { readonly address: string; readonly port: number };
  readonly port: number;
  readonly via?: string | undefined;
  readonly kind: (typeof OUTBOX_KINDS)[number];
  readonly pushed: Moment;
  /** How long the entry may wait. */
  readonly ttlMs: number;
}

export interface OutboxLimits {
  readonly entries: number;
  /** Bytes of all payloads. */
  readonly bytes: number;
}

export const OUTBOX_LIMITS: OutboxLimits = { entries: 1000, bytes: 512 * 1024 };

/**
 * Chooses the entries to drop so that a new one fits: the oldest events first, then the oldest replies, as a sender
 * waits for a reply. The new entry counts too: when only replies wait, a new event is dropped.
 *
 * @returns the numbers of the dropped entries, with the bound that they exceed
 */
export function dropsFor(
  waiting: readonly Pick<OutboxItem, 'seq' | 'kind' | 'bytes'>[],
  added: Pick<OutboxItem, 'seq' | 'kind' | 'bytes'>,
  limits: OutboxLimits,
): Map<number, DropCause> {
  const drops = new Map<number, DropCause>();
  // It does not fit even into an empty outbox.
  if (added.bytes.length > limits.bytes) return drops.set(added.seq, 'bytes');
  const all = [...waiting, added];
  const candidates = [...all.filter(({ kind }) => kind === 'event'), ...all.filter(({ kind }) => kind === 'reply')];
  let entries = all.length;
  let bytes = all.reduce((sum, item) => sum + item.bytes.length, 0);
  for (const item of candidates) {
    if (entries <= limits.entries && bytes <= limits.bytes) break;
    drops.set(item.seq, entries > limits.entries ? 'count' : 'bytes');
    entries--;
    bytes -= item.bytes.length;
  }
  return drops;
}
