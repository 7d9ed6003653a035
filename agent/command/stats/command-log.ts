import type { Command, CommandError, CommandFormat, Reply } from '../../../shared/command.js';
import { ERRORS, messageOf } from '../../../shared/errors.js';
import { utf8Head } from '../../../shared/format/cut.js';
import type { DeviceOutcome } from '../../../shared/outcome.js';
import type { Log } from '../../base/log.js';
import type { Counters } from './counters.js';
import type { Meters } from './meters.js';
import type { Last } from './recent.js';

/** Longest message of an error that a reply has. */
export const MAX_ERROR_MESSAGE_BYTES = 1000;

/** A command that has come to its end. */
export interface Ended {
  readonly id: Command['id'];
  readonly name: string | undefined;
  readonly reply: Reply;
  /** How long it took since its datagram came; undefined where that was before the start. */
  readonly milliseconds: number | undefined;
}

/** Where a command came from. */
export interface Origin {
  readonly peer: string;
  readonly transport: string;
  readonly format: CommandFormat;
}

export type CommandLog = (origin: Origin, ended: Ended) => void;

/** Counts commands by their outcome, keeps the last, and writes a line for each. */
export function createCommandLog(counters: Counters, meters: Meters, last: Last, log: Log): CommandLog {
  return ({ peer, transport, format }, { id, name, reply, milliseconds }) => {
    const outcome = outcomeOf(reply);
    counters.outcomes[outcome]++;
    meters.handler(name).outcomes[outcome]++;
    last.command = { name, outcome, code: codeOf(reply), peer, transport, at: performance.now() };
    const line = { id, name, peer, transport, format, ms: milliseconds, outcome };
    if ('error' in reply) log.info({ ...line, code: reply.error.code, error: loggedMessage(reply.error) }, 'command');
    else log.info(line, 'command');
  };
}

export const outcomeOf = (reply: Reply): DeviceOutcome =>
  'error' in reply ? ERRORS[reply.error.code].wire.outcome : 'done';

/** What a command ends in when the agent itself made a mistake over it. */
export const internalError = (error: unknown): { readonly error: CommandError } => ({
  error: { code: 'internal-error', message: utf8Head(messageOf(error), MAX_ERROR_MESSAGE_BYTES) },
});

/** The code that a command ended in, if it ended in one. */
export const codeOf = (reply: Reply) => ('error' in reply ? reply.error.code : undefined);

/** Milliseconds since a moment of the monotonic clock, with three decimals. */
export const millisecondsSince = (then: number): number => Math.round((performance.now() - then) * 1000) / 1000;

/** A parser's message quotes the payload, which is logged at trace only. */
const loggedMessage = ({ code, message }: CommandError) => (code === 'parse-error' ? undefined : message);
