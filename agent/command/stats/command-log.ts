import type { Command, CommandError, CommandFormat, Reply } from '../../../shared/command.js';
import { ERRORS, messageOf } from '../../../shared/errors.js';
import { utf8Head } from '../../../shared/format/cut.js';
import type { DeviceOutcome } from '../../../shared/outcome.js';
import type { Log } from '../../base/log.js';

/** Longest error message in a reply. */
export const MAX_ERROR_MESSAGE_BYTES = 1000;

/** The result of one command. */
export interface CommandResult {
  readonly id: Command['id'];
  /** Undefined when the request could not be read or names no handler. */
  readonly name: string | undefined;
  readonly reply: Reply;
  /** Milliseconds since the receipt of its datagram; undefined when that was before the agent started. */
  readonly milliseconds: number | undefined;
}

/** Where a command came from. */
export interface CommandSource {
  readonly peer: string;
  readonly transport: string;
  readonly format: CommandFormat;
}

/** Writes the log line `command`, and returns what statistics need of it. */
export function logCommand(
  log: Log,
  { peer, transport, format }: CommandSource,
  { id, name, reply, milliseconds }: CommandResult,
) {
  const outcome = outcomeOf(reply);
  const line = { id, name, peer, transport, format, ms: milliseconds, outcome };
  if ('error' in reply) log.info({ ...line, code: reply.error.code, error: loggedMessage(reply.error) }, 'command');
  else log.info(line, 'command');
  return { name, outcome, code: codeOf(reply) };
}

export const outcomeOf = (reply: Reply): DeviceOutcome =>
  'error' in reply ? ERRORS[reply.error.code].wire.outcome : 'done';

/** Returns the error code of a reply; undefined without an error. */
export const codeOf = (reply: Reply) => ('error' in reply ? reply.error.code : undefined);

/** Returns the reply to a command over which the agent itself made a mistake. */
export const internalError = (error: unknown): { readonly error: CommandError } => ({
  error: { code: 'internal-error', message: utf8Head(messageOf(error), MAX_ERROR_MESSAGE_BYTES) },
});

/** Returns the milliseconds since a moment of the monotonic clock, with three decimals. */
export const millisecondsSince = (then: number): number => Math.round((performance.now() - then) * 1000) / 1000;

/** Leaves out the message of a parser, which quotes the payload: payloads are logged at level trace only. */
const loggedMessage = ({ code, message }: CommandError) => (code === 'parse-error' ? undefined : message);
