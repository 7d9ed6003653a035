import type { Endpoint } from '../../endpoint.js';
import type { DiscardReason } from '../../transport.js';
import type { Action, LossKind } from './grammar.js';

/** An event that was recognised in the bytes from a modem. */
export type ModemEvent =
  /** `socket` is null where several are open and the modem does not name one. */
  | { readonly kind: 'datagram'; readonly socket: number | null; readonly source: Endpoint; readonly bytes: Buffer }
  | { readonly kind: 'sent'; readonly socket: number; readonly error?: string }
  | { readonly kind: 'opened'; readonly socket: number; readonly error?: string }
  | { readonly kind: 'closed'; readonly socket: number }
  /** Data wait to be read; `asked` when this answers a command. */
  | { readonly kind: 'pending'; readonly socket: number; readonly bytes?: number; readonly asked?: true }
  | { readonly kind: 'urc'; readonly line: string; readonly loss?: LossKind }
  | { readonly kind: 'prompt' }
  /** A line of the answer to the command in flight. */
  | { readonly kind: 'information'; readonly line: string }
  | FinalResult
  | { readonly kind: 'discarded'; readonly bytes: Buffer; readonly reason: DiscardReason };

/** The final result of the command in flight; without a command, a stray one. */
export interface FinalResult {
  readonly kind: 'result';
  readonly command?: string;
  readonly action?: Action;
  readonly text: string;
  readonly ok: boolean;
  /** The lines of the answer, in order. */
  readonly lines: readonly string[];
  /** Number of payloads in the answer. */
  readonly payloads: number;
}
