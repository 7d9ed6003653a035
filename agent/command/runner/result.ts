import type { Command, CommandError, Reply } from '../../../shared/command.js';
import { ERRORS, messageOf } from '../../../shared/errors.js';
import { utf8Head } from '../../../shared/format/cut.js';
import type { DeviceOutcome } from '../../../shared/outcome.js';

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

export const outcomeOf = (reply: Reply): DeviceOutcome =>
  'error' in reply ? ERRORS[reply.error.code].wire.outcome : 'done';

/** Returns the error code of a reply; undefined without an error. */
export const codeOf = (reply: Reply) => ('error' in reply ? reply.error.code : undefined);

/** Returns the reply to a command over which the agent itself made a mistake. */
export const internalError = (error: unknown): { readonly error: CommandError } => ({
  error: { code: 'internal-error', message: utf8Head(messageOf(error), MAX_ERROR_MESSAGE_BYTES) },
});
