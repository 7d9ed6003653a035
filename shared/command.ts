import type { FinalCode, WireCode } from './errors.js';

/** Formats of a datagram. `raw` exists only on ports that are pinned to it. */
export const FORMATS = ['text', 'json', 'cbor', 'raw'] as const;
export type Format = (typeof FORMATS)[number];

/** Formats of a command. */
export type CommandFormat = Format | 'coap';

/**
 * JSON-RPC 2.0 §4: a string, a number, or null. In text, the `#id` without its mark; in CoAP, the token in hexadecimal.
 */
export type CommandId = string | number | null;

/** Parameters by position and by name. */
export interface Params {
  readonly positional: readonly unknown[];
  readonly named: Readonly<Record<string, unknown>>;
}

/** A command from a datagram of any format. */
export interface Command {
  /** Absent in a JSON-RPC notification, which wants no reply, and in text without an id. */
  readonly id?: CommandId | undefined;
  readonly name: string;
  readonly params: Params;
  readonly format: CommandFormat;
  /** Unix seconds, after which the command is not run. */
  readonly deadline?: number | undefined;
  /** The sender: `gateway` for everything from the carrier, else `address:port`. */
  readonly peer: string;
}

/** Why a command is not done. */
export interface CommandError<Code extends WireCode = FinalCode> {
  readonly code: Code;
  readonly message: string;
}

/** The result or the error of a command. */
export type Reply<Code extends WireCode = FinalCode> =
  | {
      readonly result: unknown;
      /** Set when the command had a deadline that could not be checked, and was run. */
      readonly clockSynchronized?: false;
      /** Set for a repeat of a command that was done: the device remembers that, but no longer its result. */
      readonly forgotten?: true;
      /** The identity of the device's journal, where the request asks for it: see `format/journal-identity.ts`. */
      readonly journal?: string;
    }
  | {
      readonly error: CommandError<Code>;
      /** Set with `busy` when the device could not record the refusal: a late copy of the command may still run. */
      readonly recorded?: false;
      /** As beside a result. */
      readonly journal?: string;
    };

/** Dotted names: `ping`, `relay.set`. In CoAP the dots are path segments. */
export const COMMAND_NAME = /^[A-Za-z][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*$/;
export const MAX_NAME_LENGTH = 64;
/** Longest id, in UTF-8 bytes: the reply repeats it, and has 1300 bytes in all. */
export const MAX_ID_BYTES = 64;
/** First words of a text reply. No command has such a name, so that two agents never answer each other's replies. */
export const REPLY_WORDS: readonly string[] = ['ok', 'error', 'repeat', 'unrecorded', 'forgotten'];

/** Tells whether a handler may have this name. */
export function isCommandName(name: string): boolean {
  return name.length <= MAX_NAME_LENGTH && COMMAND_NAME.test(name) && !REPLY_WORDS.includes(name);
}
