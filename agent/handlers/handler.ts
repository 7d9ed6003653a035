import type * as z from 'zod';
import type { Command, CommandError, Params } from '../../shared/command.js';
import type { Duration } from '../../shared/duration.js';
import type { Log } from '../base/log.js';

/** The command that a handler runs, and what it may use. */
export interface HandlerContext {
  readonly command: Command;
  readonly deviceId: string;
  readonly log: Log;
  /** Aborted when the handler's timeout expires or the agent stops. */
  readonly signal: AbortSignal;
  /** Sends an event to the owner: {@link Emit}. */
  readonly emit: Emit;
}

/**
 * Sends an event, which the owner receives as a from_sim command: `{ event, data }` in JSON, or bytes as they are, and
 * protected where `events.key` names a key. Resolves when the event has been sent or is in the outbox.
 *
 * @throws (rejects) SupersimError `too-large` above 1300 bytes, `link-down` when it can be neither sent nor stored,
 * `bad-reply` when `data` is not serialisable as JSON, `numbers-unavailable` when it cannot be protected now
 */
export interface Emit {
  (event: string, data?: unknown): Promise<void>;
  (bytes: Uint8Array): Promise<void>;
}

/** A handler as written by its author; see {@link defineHandler}. */
export interface HandlerDefinition<Schema extends z.ZodType = z.ZodType> {
  /** Dotted words: `relay.set`. */
  readonly name: string;
  /** One line for `commands`. */
  readonly description: string;
  /** A `z.object`. Text commands may pass its members by position, in its order. Without it any parameters are passed on. */
  readonly params?: Schema;
  /** Read-only: no side effects; may run again, and CoAP GET may call it. Default: false. */
  readonly safe?: boolean;
  /** Running it twice has the same effect as once; may run again. Default: the value of `safe`. */
  readonly idempotent?: boolean;
  /** Time limit: then the command is `failed` and `context.signal` is aborted. Default: 30s. */
  readonly timeout?: Duration;
  /** Returns or resolves to the reply: a string, number, boolean, bytes, or an array or plain object of these. */
  run(params: z.output<Schema>, context: HandlerContext): unknown;
}

/**
 * Types a handler's `params` by its schema; returns the definition unchanged.
 *
 * @example
 * export default defineHandler({
 *   name: 'relay.set',
 *   description: 'Switches a relay',
 *   params: z.object({ channel: z.number().int(), on: z.boolean() }),
 *   idempotent: true,
 *   async run({ channel, on }) { … },
 * });
 */
export function defineHandler<Schema extends z.ZodType>(
  definition: HandlerDefinition<Schema>,
): HandlerDefinition<Schema> {
  return definition;
}

/** A handler as the pipeline runs it. */
export interface Handler {
  readonly name: string;
  readonly description: string;
  readonly safe: boolean;
  readonly idempotent: boolean;
  readonly timeoutMs: number;
  /**
   * The handler ends the agent, and its command is done when the agent runs again: after a reboot (`boot`) or any new
   * start of the process (`process`).
   */
  readonly endsWith?: EndsWith | undefined;
  /** It is built in and safe: it runs although other handlers take all places. */
  readonly hasOwnPlaces?: boolean | undefined;
  /** The handler ends or changes the device, or passes parameters to a privileged service. */
  readonly needsAuthentication?: boolean | undefined;
  /** Usage of the parameters, for `commands`: `channel:integer on:boolean [label:string]`. */
  readonly usage: string;
  /** Checks the parameters. `words`: they come from a text command, where numbers are words too. */
  bind(params: Params, words: boolean): { readonly value: unknown } | { readonly error: CommandError };
  run(params: unknown, context: HandlerContext): unknown;
}

export const ENDS_WITH = ['boot', 'process'] as const;
export type EndsWith = (typeof ENDS_WITH)[number];

export const DEFAULT_TIMEOUT: Duration = '30s';
