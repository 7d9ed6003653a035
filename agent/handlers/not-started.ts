import type { CommandError } from '../../shared/command.js';
import { messageOf, SupersimError } from '../../shared/errors.js';
import { isShortage } from '../base/shortage.js';

/**
 * Says that a handler's program or service was not started, so that nothing of it has run. Only the agent's own handlers
 * throw it: an error of a module that has run half-way must not pass for one, whatever its code.
 */
export class NotStartedError extends SupersimError<'busy' | 'expired' | 'handler-unavailable'> {
  readonly #isOurs = true;

  /** @param cause a system error; a shortage means `busy`, all else `handler-unavailable` */
  constructor(
    cause: unknown,
    message = messageOf(cause),
    code: NotStartedError['code'] = isShortage(cause) ? 'busy' : 'handler-unavailable',
  ) {
    super(code, message, { cause });
  }

  /** Tells whether anything that was thrown is such an error. Never throws. */
  static is(thrown: unknown): thrown is NotStartedError {
    return typeof thrown === 'object' && thrown !== null && #isOurs in thrown && thrown.#isOurs;
  }
}

/** @param deadline Unix seconds; `now` in milliseconds */
export const isPast = (deadline: number, now: number): boolean => now >= deadline * 1000;

export const EXPIRED = { code: 'expired', message: 'its deadline has passed' } as const satisfies CommandError;

/**
 * Does what comes before the start of a program or a service.
 *
 * @throws (rejects) NotStartedError
 */
export async function beforeStart<T>(prepare: () => T | Promise<T>): Promise<T> {
  try {
    return await prepare();
  } catch (error) {
    throw new NotStartedError(error);
  }
}
