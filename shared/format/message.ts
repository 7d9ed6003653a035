import type { CommandError, CommandId, Params } from '../command.js';

/** One command in a datagram; without an id in JSON or CBOR it is a notification and wants no reply. */
export interface Request {
  readonly id?: CommandId;
  readonly name: string;
  readonly params: Params;
  /** Unix seconds; past it the command is not run. */
  readonly deadline?: number | undefined;
}

/** A request, or why there is none at this place and whom to tell. */
export type Entry =
  | { readonly request: Request }
  | { readonly id: CommandId | undefined; readonly error: CommandError };

/** What one datagram holds. No entries: it is itself a reply, and is never answered. */
export interface Message {
  readonly entries: readonly Entry[];
  /** Whether the entries came in an array, and the replies go back in one. */
  readonly batch: boolean;
}

export const A_REPLY: Message = { entries: [], batch: false };

/** A message that is just an error. */
export const errorMessage = (code: CommandError['code'], message: string, id?: CommandId): Message => ({
  entries: [{ id, error: { code, message } }],
  batch: false,
});
