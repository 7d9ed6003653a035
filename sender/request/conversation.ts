import type { RequestEnding } from './result.js';

/** A block of a long command that the device has received, or of a long result that has arrived. */
export interface BlockProgress {
  readonly way: 'down' | 'up';
  /** From 1. */
  readonly number: number;
  /** Undefined when the device does not say how long its result is. */
  readonly total?: number;
}

/** What a datagram from the device means for a request; undefined when it belongs to another. */
export type Interpretation =
  /** The device has received the command, and answers later. */
  | { readonly type: 'accepted' }
  /** The device is too busy, and could not record that it refuses the command: a late copy of it may still run. */
  | { readonly type: 'unrecorded'; readonly acknowledge?: Buffer }
  | {
      readonly type: 'next';
      readonly next: Conversation;
      /** The progress that this is; `challenged`: the device asks for proof that the command is new (RFC 9175). */
      readonly progress: { readonly type: 'block'; readonly block: BlockProgress } | { readonly type: 'challenged' };
      readonly acknowledge?: Buffer;
    }
  | { readonly type: 'end'; readonly ending: RequestEnding; readonly acknowledge?: Buffer }
  | undefined;

/** Which datagram of a command this is. A command that is continued later sends it with the same protection. */
export interface CommandPart {
  /** Number of the block, from 0. */
  readonly block: number;
  /** The Echo value that the command carries in its first block. */
  readonly echo: Buffer | undefined;
}

/** The exchange of one request in one format: the datagram to send now, and how replies are read. Immutable. */
export interface Conversation {
  /** The datagram before it is protected. */
  readonly bytes: Buffer;
  /** Undefined for a datagram that only fetches more of a result. */
  readonly part?: CommandPart | undefined;
  /** Whether the device may run the command twice. */
  readonly isSafe?: boolean | undefined;
  /** Whether the device can run the command once it has this datagram: false for a block before the last. */
  readonly canRun: boolean;
  /** Set once the command has ended and its result has begun to arrive: the outcome if the rest does not arrive. */
  readonly partial?: () => RequestEnding;
  /** @param repeated whether the datagram has been sent more than once */
  interpret(bytes: Buffer, repeated: boolean): Interpretation;
}
