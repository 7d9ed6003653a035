import type { CommandError, CommandId, Params } from '../command.js';

/** One command in a datagram; in JSON or CBOR without an id it is a notification, which wants no reply. */
export interface Request {
  readonly id?: CommandId;
  readonly name: string;
  readonly params: Params;
  /** Unix seconds, after which the command is not run. */
  readonly deadline?: number | undefined;
  /** Set when the reply is to carry the identity of the device's journal. */
  readonly asksJournal?: true | undefined;
}

/** A request, or the error to answer with in its place. */
export type Entry =
  | { readonly request: Request }
  | { readonly id: CommandId | undefined; readonly error: CommandError };

/** The content of a datagram. Without entries it is itself a reply, and is never answered. */
export interface Message {
  readonly entries: readonly Entry[];
  /** Whether the entries were in an array, as the replies then are. */
  readonly batch: boolean;
}

/** A datagram that is itself a reply, and is never answered. */
export const REPLY_MESSAGE: Message = { entries: [], batch: false };

/** Makes a message that is only an error. */
export const errorMessage = (code: CommandError['code'], message: string, id?: CommandId): Message => ({
  entries: [{ id, error: { code, message } }],
  batch: false,
});
