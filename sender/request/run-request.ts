import type { Parameters } from '../../shared/coap/parameters.js';
import { type ErrorCode, isSupersimError, messageOf } from '../../shared/errors.js';
import { type IpCommand, payloadBytes } from '../../shared/ip-command.js';
import { ApiError } from '../api/api-error.js';
import type { IpCommandClient } from '../api/client.js';
import { VENDOR_CODE_MEANINGS } from '../api/vendor-codes.js';
import type { CommandUpdate, ReplyListener, ReplySource } from '../replies/polling.js';
import type { BlockProgress, Conversation } from './conversation.js';
import { drive } from './drive.js';
import type { PostFailure, RequestInput } from './outcome-machine.js';
import { type DatagramProtection, UNPROTECTED } from './protection.js';
import { makeEnding, type RequestEnding, type RequestResult } from './result.js';

/** The progress of a request. */
export type RequestProgress =
  /** The API accepted a datagram; `attempt` is 2 or more for a repeat. */
  | { readonly type: 'sent'; readonly attempt: number }
  /** The device has received the command and answers later. */
  | { readonly type: 'accepted' }
  /** The device does not know yet that the command is new, and it was sent anew with the proof (RFC 9175). */
  | { readonly type: 'challenged' }
  /** The device has received a block of the command, or a block of its result has arrived. */
  | { readonly type: 'block'; readonly block: BlockProgress };

export interface RequestRun {
  readonly client: Pick<IpCommandClient, 'create'>;
  readonly replies: ReplySource;
  readonly parameters: Parameters;
  readonly conversation: Conversation;
  /** Undefined for a SIM without a key. */
  readonly protection: DatagramProtection | undefined;
  /** By which replies are known. */
  readonly sim: string;
  readonly target: string;
  readonly devicePort: number;
  readonly callbackUrl?: string | undefined;
  /** Unix seconds. */
  readonly deadline?: number | undefined;
  /** Milliseconds. */
  readonly timeout: number;
  /** Whether the same request may have been made before. */
  readonly again: boolean;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ((progress: RequestProgress) => void) | undefined;
}

/** Runs a request from its first datagram to its outcome. Never rejects. */
export async function runRequest(run: RequestRun): Promise<RequestResult> {
  const { client, sim, target, devicePort, callbackUrl, again, signal, parameters, timeout } = run;
  // A device that has the command answers with its outcome; one that does not have it checks the deadline itself.
  const deadline = again ? undefined : run.deadline;
  const { protect, open } = run.protection ?? UNPROTECTED;
  const startedAt = performance.now();
  const sinceStart = () => Math.round(performance.now() - startedAt);
  const timings: { sent?: number; accepted?: number } = {};
  let apiCalls = 0;
  let replyError: unknown;
  const create = async (payload: Buffer) => {
    apiCalls++;
    // Bytes, whatever the format: it is not documented what the API does to text.
    const command = await client.create({ sim: target, payload, devicePort, callbackUrl });
    run.replies.setSimSid?.(sim, command.sim_sid);
    return command;
  };
  const settings = {
    parameters,
    factor: 1 + Math.random() * (parameters.ackRandomFactor - 1),
    timeout,
    deadlineAt: deadline === undefined ? Number.POSITIVE_INFINITY : startedAt + deadline * 1000 - Date.now(),
  };
  const driver = drive(settings, run.conversation, {
    async post(number, conversation) {
      try {
        return postResultOf(number, create(await protect(conversation)));
      } catch (error) {
        return { type: 'refused', number, failure: failureOf(error, 'given-up') };
      }
    },
    // A lost acknowledgement only makes the device repeat its response.
    acknowledge: (bytes) => void create(bytes).catch(() => {}),
    progress(progress) {
      if (progress.type === 'sent' || progress.type === 'accepted') timings[progress.type] ??= sinceStart();
      run.onProgress?.(progress);
    },
  });
  const listener: ReplyListener = {
    onCommand: (command, vendorCode) => driver.feed(inputOf(command, vendorCode, open)),
    onApiCall: () => {
      apiCalls++;
    },
    onError: (error) => {
      replyError = error;
    },
  };

  const ending = deadline !== undefined && settings.deadlineAt <= startedAt ? TOO_LATE : await listenAndSend();
  return {
    ...withHints(again ? notSentThisTime(ending) : ending, [
      run.protection && (run.protection.hint ?? 'a device that does not have this key does not answer'),
      replyError === undefined ? undefined : `replies could not always be read: ${messageOf(replyError)}`,
    ]),
    authentic: run.protection !== undefined && isDevicesWord(ending),
    attempts: driver.attempts,
    apiCalls,
    timings: { ...timings, ended: sinceStart() },
  };

  /** Subscribes before it sends, so that no reply is missed. */
  async function listenAndSend(): Promise<RequestEnding> {
    if (signal?.aborted === true) return ABORTED;
    let onAbort = () => {};
    const aborted = new Promise<undefined>((resolve) => {
      onAbort = () => resolve(undefined);
    });
    signal?.addEventListener('abort', onAbort, { once: true });
    const listening = run.replies.listen(sim, listener);
    try {
      const unsubscribe = await Promise.race([listening, aborted]);
      if (unsubscribe === undefined) return ABORTED;
      driver.start();
      void aborted.then(() => driver.feed({ type: 'abort' }));
      return await driver.ended;
    } catch (error) {
      const { code, message, ...details } = failureOf(error);
      return makeEnding('not-sent', code, `replies cannot be received: ${message}`, details);
    } finally {
      signal?.removeEventListener('abort', onAbort);
      // Not awaited: a caller that aborts need not wait until the source is ready.
      listening.then(
        (unsubscribe) => unsubscribe(),
        () => {},
      );
    }
  }
}

/**
 * The result of a request that was ended by an error before anything was sent.
 *
 * @param again as in {@link RequestRun}
 */
export function endBefore(error: unknown, again: boolean): RequestResult {
  const { code, message, ...details } = failureOf(error);
  const ending = makeEnding('not-sent', code, message, details);
  return {
    ...(again ? notSentThisTime(ending) : ending),
    authentic: false,
    attempts: 0,
    apiCalls: 0,
    timings: { ended: 0 },
  };
}

const ABORTED = makeEnding('not-sent', 'given-up', 'the caller stopped before anything was sent');
const TOO_LATE = makeEnding('not-sent', 'expired', 'the deadline had passed before anything was sent');

/** Returns the result of a post as an input of the state machine. */
async function postResultOf(number: number, created: Promise<IpCommand>): Promise<RequestInput> {
  try {
    const { sid, status } = await created;
    return status === 'failed' ? { type: 'refused', number, failure: undelivered() } : { type: 'posted', number, sid };
  } catch (error) {
    if (!isSupersimError(error) || error.code === 'api-unknown-fate') return { type: 'unknown', number };
    return { type: 'refused', number, failure: failureOf(error) };
  }
}

const inputOf = (
  command: CommandUpdate,
  vendorCode: number | undefined,
  open: DatagramProtection['open'],
): RequestInput => {
  if (command.direction === 'from_sim') {
    const bytes = open(payloadBytes(command));
    return bytes === undefined ? { type: 'tick' } : { type: 'received', bytes };
  }
  if (command.status !== 'failed') return { type: 'tick' };
  return { type: 'failed', sid: command.sid, failure: undelivered(vendorCode) };
};

/** @param otherwise the code of an error that is not the project's */
function failureOf(error: unknown, otherwise: ErrorCode = 'api-unreachable'): PostFailure {
  const code = isSupersimError(error) ? error.code : otherwise;
  const vendorCode = error instanceof ApiError ? error.vendorCode : undefined;
  return { code, message: messageOf(error), ...(vendorCode !== undefined && { vendorCode }) };
}

/** The API's list does not say why a command failed; a callback does. */
function undelivered(vendorCode?: number): PostFailure {
  if (vendorCode === undefined) {
    return {
      code: 'not-delivered',
      message: 'the network did not send it; usually the device is not attached (83401)',
    };
  }
  const meaning = VENDOR_CODE_MEANINGS.get(vendorCode) ?? 'The network did not send it.';
  return { code: 'not-delivered', message: `code ${vendorCode}: ${meaning}`, vendorCode };
}

/** A request that was not sent this time may have been sent by an earlier one with the same identity. */
function notSentThisTime(ending: RequestEnding): RequestEnding {
  if (ending.outcome !== 'not-sent') return ending;
  const { message, ...details } = ending.error;
  return {
    outcome: 'no-answer',
    error: { ...details, message: `it may have been sent earlier, but not this time: ${message}` },
  };
}

/** Tells whether an outcome was told by the device. */
const isDevicesWord = ({ outcome }: RequestEnding): boolean => outcome !== 'not-sent' && outcome !== 'no-answer';

/** Adds to an ending without an answer what else is known. */
function withHints(ending: RequestEnding, hints: readonly (string | undefined)[]): RequestEnding {
  if (ending.outcome !== 'no-answer') return ending;
  const message = [ending.error.message, ...hints].filter((part) => part !== undefined).join('; ');
  return { ...ending, error: { ...ending.error, message } };
}
