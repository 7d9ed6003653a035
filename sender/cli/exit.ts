import { formatError } from '../../shared/cli.js';
import { type ErrorCode, isSupersimError, systemCodeOf } from '../../shared/errors.js';
import type { Outcome } from '../../shared/outcome.js';

/**
 * The exit codes of `supersim`'s commands. `request` also uses those of {@link EXIT_BY_OUTCOME}, and `broadcast` that
 * of `failed` when a SIM is not done.
 *
 * | code | name | meaning |
 * |---|---|---|
 * | 0 | ok | done; for `watch`, stopped by Ctrl-C |
 * | 1 | error | any error without a code of its own, such as an answer that is not the API's |
 * | 2 | usage | wrong arguments, payload, profile, variables or keys; nothing was sent |
 * | 3 | refused | the API answered with an error; nothing was sent, by a broadcast nothing more |
 * | 4 | unknownFate | the command may have been sent; check before sending it again |
 * | 5 | unreachable | the API could not be reached; nothing was sent, by a broadcast nothing more |
 * | 130 | interrupted | a broadcast was stopped by Ctrl-C, and can be resumed |
 */
export const EXIT = {
  ok: 0,
  error: 1,
  usage: 2,
  refused: 3,
  unknownFate: 4,
  unreachable: 5,
  interrupted: 130,
} as const;

/**
 * The exit codes of `supersim request`, by outcome.
 *
 * | code | outcome | did it run? |
 * |---|---|---|
 * | 0 | done | yes |
 * | 10 | failed | yes, and reports an error |
 * | 11 | refused | no: the device refused it |
 * | 12 | not-sent | no: it never reached the device |
 * | 13 | interrupted | perhaps in part: the device or its agent stopped meanwhile |
 * | 14 | no-answer | perhaps |
 */
export const EXIT_BY_OUTCOME: Readonly<Record<Outcome, number>> = {
  done: EXIT.ok,
  failed: 10,
  refused: 11,
  'not-sent': 12,
  interrupted: 13,
  'no-answer': 14,
};

const EXIT_BY_CODE: Partial<Record<ErrorCode, number>> = {
  'bad-input': EXIT.usage,
  'too-large': EXIT.usage,
  'no-credentials': EXIT.usage,
  'profile-unsafe': EXIT.usage,
  'key-required': EXIT.usage,
  'key-revoked': EXIT.usage,
  'keys-copied': EXIT.usage,
  'keys-unusable': EXIT.usage,
  'canary-failed': EXIT_BY_OUTCOME.failed,
  'api-error': EXIT.refused,
  'api-unknown-fate': EXIT.unknownFate,
  'api-unreachable': EXIT.unreachable,
};

/**
 * Prints an error and returns the exit code for it. A reader that closed the pipe is not an error: nothing is
 * printed.
 *
 * @returns one of {@link EXIT}
 */
export function reportError(error: unknown, stderr: { write(text: string): unknown } = process.stderr): number {
  if (systemCodeOf(error) === 'EPIPE') return EXIT.ok;
  stderr.write(formatError(error));
  return isSupersimError(error) ? (EXIT_BY_CODE[error.code] ?? EXIT.error) : EXIT.error;
}
