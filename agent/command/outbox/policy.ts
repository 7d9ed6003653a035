import type { Moment } from '../../base/moment.js';

export const OUTBOX_KINDS = ['reply', 'event'] as const;

/** Why an entry never left. */
export type DropCause = 'count' | 'bytes' | 'expired';

/** What waits to leave. */
export interface OutboxItem {
  readonly seq: number;
  readonly bytes: Buffer;
  readonly destination: { readonly address: string; readonly port: number };
  readonly port: number;
  readonly via?: string | undefined;
  readonly kind: (typeof OUTBOX_KINDS)[number];
  readonly pushed: Moment;
  /** How long it may wait. */
  readonly ttlMs: number;
}

export interface OutboxLimits {
  readonly entries: number;
  /** Of all payloads together. */
  readonly bytes: number;
}

export const OUTBOX_LIMITS: OutboxLimits = { entries: 1000, bytes: 512 * 1024 };

/**
 * What goes so that a new entry has room: the oldest event first, then the oldest reply, as somebody waits for replies.
 * The new one counts with the others: where only replies wait, a new event is what goes.
 *
 * @returns the numbers of those that go, with the bound that they went for
 */
export function dropsFor(
  waiting: readonly Pick<OutboxItem, 'seq' | 'kind' | 'bytes'>[],
  added: Pick<OutboxItem, 'seq' | 'kind' | 'bytes'>,
  limits: OutboxLimits,
): Map<number, DropCause> {
  const drops = new Map<number, DropCause>();
  // However much goes for it, it does not fit.
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
