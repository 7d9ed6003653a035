import type * as z from 'zod';
import type { Command, CommandError, Params } from '../../shared/command.js';
import type { Duration } from '../../shared/duration.js';
import type { Log } from '../base/log.js';

/** What a handler may know of, and do around, the command that it runs. */
export interface HandlerContext {
  readonly command: Command;
  readonly deviceId: string;
  readonly log: Log;
  /** Aborted when the handler's time is up or the agent stops. */
  readonly signal: AbortSignal;
  /** Sends an event, unasked, to the owner: {@link Emit}. */
  readonly emit: Emit;
}

/**
 * Sends a from_sim command that nobody asked for: `{ event, data }` in JSON, or bytes as they are. Resolves when it has
 * left, or waits in the outbox for a link.
 *
 * @throws (rejects) SupersimError `too-large` above 1300 bytes, `link-down` when it can do neither, `bad-reply` when
 * `data` cannot be written as JSON
 */
export interface Emit {
  (event: string, data?: unknown): Promise<void>;
  (bytes: Uint8Array): Promise<void>;
}

/** A handler as its author writes it; see {@link defineHandler}. */
export interface HandlerDefinition<Schema extends z.ZodType = z.ZodType> {
  /** Dotted words: `relay.set`. */
  readonly name: string;
  /** One line for `commands`. */
  readonly description: string;
  /** A `z.object`. Text commands may give its members by position, in its order. Without it anything is handed on. */
  readonly params?: Schema;
  /** It changes nothing. Default: false. */
  readonly safe?: boolean;
  /** Running it twice does no harm. Default: the value of `safe`. */
  readonly idempotent?: boolean;
  /** After this the command is `failed`, and `context.signal` is aborted. Default: 30s. */
  readonly timeout?: Duration;
  /** Returns (or resolves to) the reply: a string, number, boolean, bytes, or an array or plain object of these. */
  run(params: z.output<Schema>, context: HandlerContext): unknown;
}

/**
 * Types a handler's `params` by its schema; gives back what it got.
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
   * It does its work by ending the agent: its command is done when the agent runs again, after a reboot (`boot`) or in
   * any way (`process`).
   */
  readonly endsWith?: EndsWith | undefined;
  /** It ends or changes the device, or hands its parameters to a service of root's: not for everybody to run. */
  readonly needsAuthentication?: boolean | undefined;
  /** How the parameters are written, for `commands`: `channel:integer on:boolean [label:string]`. */
  readonly usage: string;
  /** Checks the parameters. `words` tells that they came as text, where a number is a word like any other. */
  bind(params: Params, words: boolean): { readonly value: unknown } | { readonly error: CommandError };
  run(params: unknown, context: HandlerContext): unknown;
}

export const ENDS_WITH = ['boot', 'process'] as const;
export type EndsWith = (typeof ENDS_WITH)[number];

export const DEFAULT_TIMEOUT: Duration = '30s';
