import { ERRORS } from '../../shared/errors.js';
import { isForbidden, mayPass } from '../api/api-error.js';
import { fullJitter } from '../api/backoff.js';
import type { IpCommandClient } from '../api/client.js';
import { realIo } from '../api/http.js';
import { createRateLimiter } from '../base/rate-limiter.js';
import type { ReplySource } from '../replies/polling.js';
import { createRequester } from '../request/request.js';
import type { BroadcastResult } from './memory.js';
import type { BroadcastCommand, BroadcastOptions } from './options.js';
import { createOutageTracker } from './outage.js';

/** Most concurrent API calls that post datagrams: accounts have a limit, which the vendor does not document. */
export const MAX_CONCURRENT_POSTS = 32;
/**
 * How long after the first datagram to a SIM its request is repeated by a resumed broadcast, in milliseconds: a device
 * remembers commands for a day (`journal.keep`), and would run a later repeat again.
 */
export const RESUME_WITHIN_MS = 23 * 3_600_000;
/** A start this far in the future means that a clock was set and its age is unknown; less, that two clocks differ. */
const MAX_CLOCK_SKEW_MS = 60_000;

/** Asks one SIM. Rejects, and the SIM has no outcome, when the broadcast cannot continue or has been stopped. */
export type AskSim = (sim: string) => Promise<BroadcastResult>;

/** @param stop aborted with the reason when no other SIM could be asked either */
export function createAskSim(
  command: BroadcastCommand,
  options: BroadcastOptions,
  replies: ReplySource,
  stop: AbortController,
): AskSim {
  const { client, rate, deadline, timeout, devicePort, memory, callbackUrl, timeScale } = options;
  const { name, params, ...commandOptions } = command;
  const { signal } = stop;
  const outage = createOutageTracker(options.onOutage);
  const limiter = createRateLimiter({ maxConcurrent: MAX_CONCURRENT_POSTS, rate });

  /** Stops the broadcast when the credentials are refused, be it to post or to read replies. */
  function stopIfForbidden(error: unknown): void {
    if (isForbidden(error)) stop.abort(error);
  }

  /**
   * @param releaseFirst the slot of the first datagram, acquired before: a request must not time out while it waits
   * @returns `apiError`, when no datagram could be posted and the SIM is not to blame
   */
  async function askOnce(sim: string, resumed: boolean, releaseFirst: () => void) {
    let firstSlot: (() => void) | undefined = releaseFirst;
    let mayHaveLeft = false;
    let apiError: unknown;
    const recordError = (error: unknown) => {
      stopIfForbidden(error);
      if (isForbidden(error) || mayPass(error)) apiError = error;
      else mayHaveLeft = true;
    };
    const create: IpCommandClient['create'] = async (datagram) => {
      const release = firstSlot ?? (await limiter.acquire('high', signal));
      firstSlot = undefined;
      try {
        const accepted = await client.create(datagram);
        mayHaveLeft = true;
        outage.recordSuccess();
        return accepted;
      } catch (error) {
        recordError(error);
        throw error;
      } finally {
        release();
      }
    };
    const guardedReplies: ReplySource = {
      async listen(name, listener) {
        const onError = (error: unknown) => {
          stopIfForbidden(error);
          listener.onError(error);
        };
        try {
          return await replies.listen(name, { onCommand: listener.onCommand, onApiCall: listener.onApiCall, onError });
        } catch (error) {
          recordError(error);
          throw error;
        }
      },
      setSimSid: (name, simSid) => replies.setSimSid?.(name, simSid),
    };
    const request = createRequester({
      client: { create, pages: (filters) => client.pages(filters) },
      replies: guardedReplies,
      callbackUrl,
      timeScale,
    });
    const identity = memory?.identity(sim);
    const requestOptions = { ...commandOptions, deadline, timeout, devicePort, identity, again: resumed, signal };
    try {
      const result = await request(sim, name, params, requestOptions);
      return { result: { sim, ...result }, apiError: mayHaveLeft ? undefined : apiError };
    } finally {
      firstSlot?.();
    }
  }

  return async (sim) => {
    let startedAt: number | undefined;
    for (let retry = 0; ; retry++) {
      // A stopped broadcast has no slot to wait for: the request ends at once.
      const release = await limiter.acquire('normal', signal).catch(() => undefined);
      if (release !== undefined && retry === 0) {
        startedAt = await memory?.start(sim).catch((error: unknown) => {
          release();
          throw error;
        });
      }
      if (startedAt !== undefined && !isRemembered(startedAt)) {
        release?.();
        return ended(tooOldToResume(sim));
      }
      const { result, apiError } = await askOnce(sim, startedAt !== undefined, release ?? (() => {}));
      if (signal.aborted && wasStopped(result)) return stopped(result);
      if (apiError === undefined) return ended(result);
      if (isForbidden(apiError) || !outage.shouldRetry(apiError)) throw apiError;
      await realIo.sleep(fullJitter(retry, Math.random()), signal).catch(() => undefined);
    }
  };

  async function ended(result: BroadcastResult): Promise<BroadcastResult> {
    await memory?.end(result);
    return result;
  }

  /** The caller gets the result if the caller stopped the broadcast, and no memory could resume it. */
  function stopped(result: BroadcastResult): BroadcastResult {
    if (memory === undefined && options.signal?.aborted === true) return result;
    throw signal.reason;
  }
}

function isRemembered(startedAt: number): boolean {
  const age = Date.now() - startedAt;
  return age > -MAX_CLOCK_SKEW_MS && age < RESUME_WITHIN_MS;
}

/** Tells whether a request ended only because the broadcast was stopped. */
const wasStopped = (result: BroadcastResult) => result.outcome !== 'done' && result.error.code === 'given-up';

function tooOldToResume(sim: string): BroadcastResult {
  const { remedy } = ERRORS['no-answer'];
  const message = 'it may have been sent, so long ago that the device may no longer remember its outcome';
  const error = { code: 'no-answer', message, remedy } as const;
  return { sim, outcome: 'no-answer', error, attempts: 0, apiCalls: 0, timings: { ended: 0 } };
}
