import type { FinalCode, WireCode } from './errors.js';

/** How a datagram is written. `raw` exists on ports pinned to it only. */
export const FORMATS = ['text', 'json', 'cbor', 'raw'] as const;
export type Format = (typeof FORMATS)[number];

/** How a command was asked for. */
export type CommandFormat = Format | 'coap';

/**
 * JSON-RPC 2.0 §4: a string, a number, or null. In text, the `#id` without its mark; in CoAP, the token in hexadecimal.
 */
export type CommandId = string | number | null;

/** Parameters as they came: some by position, some by name. */
export interface Params {
  readonly positional: readonly unknown[];
  readonly named: Readonly<Record<string, unknown>>;
}

/** What a datagram asks for, whatever format it came in. */
export interface Command {
  /** Absent when the caller wants no reply (a JSON-RPC notification) or gave none (text). */
  readonly id?: CommandId | undefined;
  readonly name: string;
  readonly params: Params;
  readonly format: CommandFormat;
  /** Unix seconds; past it the command is not run. */
  readonly deadline?: number | undefined;
  /** Who asked: `gateway` for everything from the carrier, else `address:port`. */
  readonly peer: string;
}

/** Why a command was not done. */
export interface CommandError<Code extends WireCode = FinalCode> {
  readonly code: Code;
  readonly message: string;
}

/** What a command came to. */
export type Reply<Code extends WireCode = FinalCode> =
  | {
      readonly result: unknown;
      /** Set when the command had a deadline that could not be judged, and was run all the same. */
      readonly clockSynchronized?: false;
    }
  | { readonly error: CommandError<Code> };

/** Dotted names: `ping`, `relay.set`. In CoAP the dots are path segments. */
export const COMMAND_NAME = /^[A-Za-z][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*$/;
export const MAX_NAME_LENGTH = 64;
/** Longest id, in UTF-8 bytes: it is given back in the reply, which has 1300 bytes for everything. */
export const MAX_ID_BYTES = 64;
/** First words of a text reply, and so no names of commands: two agents must never answer each other's answers. */
export const REPLY_WORDS: readonly string[] = ['ok', 'error', 'repeat'];

/** Whether a handler may bear this name. */
export function isCommandName(name: string): boolean {
  return name.length <= MAX_NAME_LENGTH && COMMAND_NAME.test(name) && !REPLY_WORDS.includes(name);
}
