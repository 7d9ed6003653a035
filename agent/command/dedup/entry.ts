import { hash } from 'node:crypto';
import type { Share } from '../../base/shares.js';
import type { Handler } from '../../handlers/handler.js';
import type { Authorize, Caller } from '../../security/authorize.js';

/**
 * What a datagram needs so that its commands run at most once: nothing (`none`), as they may run twice; a `lookup`, as
 * no handler runs for it now, but one that is gone may have run for it before; or that the agent keeps `track` of it.
 */
export type DedupPolicy = 'none' | 'lookup' | 'track';

/**
 * Returns the policy for a command of a handler; undefined when there is none. That a guarded handler has run is
 * remembered even when the configuration forbids it later.
 */
export function dedupPolicyFor(handler: Handler | undefined, authorize: Authorize, caller: Caller): DedupPolicy {
  if (handler === undefined || authorize(handler, caller) !== undefined) return 'lookup';
  return handler.idempotent && handler.needsAuthentication !== true ? 'none' : 'track';
}

/** A request in the duplicate table. */
export interface SeenRequest {
  /** See {@link textOf}; empty until it is in the table. */
  key: string;
  /** The reply, to be sent again; undefined while the request runs, and when nothing was sent. */
  reply: Uint8Array | undefined;
  running: boolean;
  /** Whether the sender has been told that the reply comes later. */
  accepted: boolean;
  /** How long it is remembered after it has ended, in milliseconds. */
  readonly lifetime: number;
  /** Monotonic milliseconds; a request that runs does not expire, and until then has its lifetime from when it came. */
  expiresAt: number;
  /** Whether it has been forgotten, so that its reply is not kept. */
  forgotten: boolean;
  /** Its slot in the evictable ring, if it may be forgotten early. */
  slot: Slot | undefined;
  /** The share of the table that it counts for, if it must not be forgotten early. */
  share: Share | undefined;
}

/**
 * Makes the entry of a request that begins, and is not in the table.
 *
 * @param lifetime how long it is remembered at most after it has ended, in milliseconds; of few different values
 * @param now monotonic milliseconds
 */
export const beginRequest = (lifetime: number, now: number): SeenRequest => ({
  key: '',
  reply: undefined,
  running: true,
  accepted: false,
  lifetime,
  expiresAt: now + lifetime,
  forgotten: false,
  slot: undefined,
  share: undefined,
});

/** Returns when a request that runs has come, in monotonic milliseconds. */
export const runningSince = ({ expiresAt, lifetime }: SeenRequest): number => expiresAt - lifetime;

/** What a repeat of a request is answered from. */
export type SeenReply = Pick<SeenRequest, 'reply' | 'running'>;

/** The memory of one request in the evictable ring, and after it of another. */
export interface Slot {
  /** Offset of its bytes in the memory that all slots share: the key's, and behind them the reply's. */
  readonly at: number;
  checksum: number;
  /** The slot before this one with the same last bits in its checksum. */
  older: Slot | undefined;
  /** The request, while it runs. */
  running: SeenRequest | undefined;
  /** 0 while the request runs, and when it is forgotten. */
  keyBytes: number;
  /** Undefined when nothing was sent. */
  replyBytes: number | undefined;
  expiresAt: number;
}

/** Identifies a datagram when it comes again: who sent it, and its bytes, which include token or id and message ID. */
export interface DatagramKey {
  readonly peer: string;
  readonly bytes: Buffer;
  /** See {@link textOf}. */
  text: string | undefined;
  /** See {@link digestOf}. */
  digest: Uint8Array | undefined;
}

export const datagramKey = (peer: string, bytes: Buffer): DatagramKey => ({
  peer,
  bytes,
  text: undefined,
  digest: undefined,
});

/** Returns a datagram's key in the duplicate table, computed once. */
export function textOf(key: DatagramKey): string {
  key.text ??= `${key.peer}\n${key.bytes.toString('latin1')}`;
  return key.text;
}

/** Returns a datagram's key in the journal: 32 bytes, computed once. */
export function digestOf(key: DatagramKey): Uint8Array {
  key.digest ??= hash('sha256', Buffer.from(textOf(key), 'latin1'), 'buffer');
  return key.digest;
}
