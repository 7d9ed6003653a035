import type { Parameters } from '../../shared/coap/parameters.js';
import { isSupersimError, messageOf } from '../../shared/errors.js';
import { type IpCommand, payloadBytes } from '../../shared/ip-command.js';
import { ApiError } from '../api/api-error.js';
import type { IpCommandClient } from '../api/client.js';
import { VENDOR_CODES } from '../api/vendor-codes.js';
import type { HeardCommand, ReplyListener, ReplySource } from '../replies/polling.js';
import type { BlockProgress, Conversation } from './conversation.js';
import { drive } from './drive.js';
import type { Failure, Input } from './machine.js';
import { type Ending, ending, type RequestResult } from './outcome.js';

/** What a request comes through on its way to its end. */
export type Progress =
  /** The API took a datagram; `attempt` is 2 and more for repeats of the same. */
  | { readonly type: 'sent'; readonly attempt: number }
  /** The device has the command and will answer later. */
  | { readonly type: 'accepted' }
  /** The device has a block of the command, or a block of its result is there. */
  | { readonly type: 'block'; readonly block: BlockProgress };

export interface Run {
  readonly client: Pick<IpCommandClient, 'create'>;
  readonly replies: ReplySource;
  readonly parameters: Parameters;
  readonly conversation: Conversation;
  readonly sim: string;
  readonly devicePort: number;
  readonly callbackUrl?: string | undefined;
  /** Unix seconds. */
  readonly deadline?: number | undefined;
  /** Milliseconds. */
  readonly timeout: number;
  /** Whether the same request may have been made before. */
  readonly again: boolean;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ((progress: Progress) => void) | undefined;
}

/** Takes a command from its first datagram to its outcome. Never rejects. */
export async function runRequest(run: Run): Promise<RequestResult> {
  const { client, sim, devicePort, callbackUrl, again, signal, parameters, timeout } = run;
  // A device that has the command answers what came of it, and one that has not refuses it by its own clock.
  const deadline = again ? undefined : run.deadline;
  const startedAt = performance.now();
  const sinceStart = () => Math.round(performance.now() - startedAt);
  const timings: { sent?: number; accepted?: number } = {};
  let apiCalls = 0;
  let trouble: unknown;
  const create = async (payload: Buffer) => {
    apiCalls++;
    // Bytes, whatever the format: what the API does to text on its way is not known.
    const command = await client.create({ sim, payload, devicePort, callbackUrl });
    run.replies.learn?.(sim, command.sim_sid);
    return command;
  };
  const settings = {
    parameters,
    factor: 1 + Math.random() * (parameters.ackRandomFactor - 1),
    timeout,
    deadlineAt: deadline === undefined ? Number.POSITIVE_INFINITY : startedAt + deadline * 1000 - Date.now(),
  };
  const driver = drive(settings, run.conversation, {
    post: async (number, bytes) => fateOf(number, create(bytes)),
    // The device repeats what is not acknowledged, and nothing else comes of it.
    acknowledge: (bytes) => void create(bytes).catch(() => {}),
    progress(progress) {
      if (progress.type !== 'block') timings[progress.type] ??= sinceStart();
      run.onProgress?.(progress);
    },
  });
  const listener: ReplyListener = {
    heard: (command, vendorCode) => driver.feed(inputOf(command, vendorCode)),
    called: () => {
      apiCalls++;
    },
    trouble: (error) => {
      trouble = error;
    },
  };

  const how = deadline !== undefined && settings.deadlineAt <= startedAt ? TOO_LATE : await listenAndSend();
  return {
    ...explain(again ? notSentNow(how) : how, trouble),
    attempts: driver.attempts,
    apiCalls,
    timings: { ...timings, ended: sinceStart() },
  };

  /** Listens first, so that no reply is too fast for us. */
  async function listenAndSend(): Promise<Ending> {
    if (signal?.aborted === true) return ABORTED;
    let onAbort = () => {};
    const aborted = new Promise<undefined>((resolve) => {
      onAbort = () => resolve(undefined);
    });
    signal?.addEventListener('abort', onAbort, { once: true });
    const listening = run.replies.listen(sim, listener);
    try {
      const leave = await Promise.race([listening, aborted]);
      if (leave === undefined) return ABORTED;
      driver.start();
      void aborted.then(() => driver.feed({ type: 'abort' }));
      return await driver.ended;
    } catch (error) {
      const { code, message, ...details } = failureOf(error);
      return ending('not-sent', code, `replies cannot be heard: ${message}`, details);
    } finally {
      signal?.removeEventListener('abort', onAbort);
      // Not awaited: a caller who stops need not wait until the source is ready.
      listening.then(
        (leave) => leave(),
        () => {},
      );
    }
  }
}

const ABORTED = ending('not-sent', 'given-up', 'the caller stopped before anything was sent');
const TOO_LATE = ending('not-sent', 'expired', 'the deadline had passed before anything was sent');

/** What became of a post. */
async function fateOf(number: number, created: Promise<IpCommand>): Promise<Input> {
  try {
    const { sid, status } = await created;
    return status === 'failed' ? { type: 'refused', number, failure: undelivered() } : { type: 'posted', number, sid };
  } catch (error) {
    if (!isSupersimError(error) || error.code === 'api-unknown-fate') return { type: 'unknown-fate', number };
    return { type: 'refused', number, failure: failureOf(error) };
  }
}

const inputOf = (command: HeardCommand, vendorCode?: number): Input => {
  if (command.direction === 'from_sim') return { type: 'heard', bytes: payloadBytes(command) };
  if (command.status !== 'failed') return { type: 'tick' };
  return { type: 'failed', sid: command.sid, failure: undelivered(vendorCode) };
};

function failureOf(error: unknown): Failure {
  const code = isSupersimError(error) ? error.code : 'api-unreachable';
  const vendorCode = error instanceof ApiError ? error.vendorCode : undefined;
  return { code, message: messageOf(error), ...(vendorCode !== undefined && { vendorCode }) };
}

/** The API's list does not say why; a callback does. */
function undelivered(vendorCode?: number): Failure {
  if (vendorCode === undefined) {
    return {
      code: 'not-delivered',
      message: 'the network did not send it; most often the device is not attached (83401)',
    };
  }
  const meaning = VENDOR_CODES.get(vendorCode) ?? 'The network did not send it.';
  return { code: 'not-delivered', message: `code ${vendorCode}: ${meaning}`, vendorCode };
}

/** What was not sent this time may have been before. */
function notSentNow(how: Ending): Ending {
  if (how.outcome !== 'not-sent') return how;
  const { message, ...details } = how.error;
  return {
    outcome: 'no-answer',
    error: { ...details, message: `it may have been sent before, but not now: ${message}` },
  };
}

/** Says of a command without an answer that its replies could not be looked for, where that was so. */
function explain(how: Ending, trouble: unknown): Ending {
  if (how.outcome !== 'no-answer' || trouble === undefined) return how;
  const message = `${how.error.message}; replies could not always be looked for: ${messageOf(trouble)}`;
  return { ...how, error: { ...how.error, message } };
}
