import type { Ending } from './outcome.js';

/** A block of a long command that the device has, or of a long result that is there. */
export interface BlockProgress {
  readonly way: 'down' | 'up';
  /** From 1. */
  readonly number: number;
  /** Undefined when the device does not say how long its result is. */
  readonly total?: number;
}

/** What a datagram from the device means to a command; undefined when it has nothing to do with it. */
export type Sign =
  /** The device has the command; what it comes to is told later. */
  | { readonly type: 'accepted' }
  | {
      readonly type: 'next';
      readonly next: Conversation;
      readonly block: BlockProgress;
      readonly acknowledge?: Buffer;
    }
  | { readonly type: 'end'; readonly ending: Ending; readonly acknowledge?: Buffer }
  | undefined;

/** A command's way in one format: the datagram that is to be sent now, and what may come back. Immutable. */
export interface Conversation {
  readonly bytes: Buffer;
  /** Whether the device can run the command once it has this datagram: false for a block that others follow. */
  readonly canRun: boolean;
  /** Set when the command is known to have ended: what is known of it, should the rest of its result not come. */
  readonly partial?: () => Ending;
  /** @param repeated whether the datagram has been sent more than once */
  hear(bytes: Buffer, repeated: boolean): Sign;
}
