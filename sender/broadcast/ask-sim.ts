import { isForbidden, mayPass } from '../api/api-error.js';
import { fullJitter } from '../api/backoff.js';
import type { IpCommandClient } from '../api/client.js';
import { realIo } from '../api/http.js';
import { createRateLimiter } from '../base/rate-limiter.js';
import type { ReplySource } from '../replies/polling.js';
import type { RequestParams } from '../request/params.js';
import type { RequestProtection } from '../request/protection.js';
import { createRequester, type RequestOptions } from '../request/request.js';
import { makeEnding, type RequestError, type RequestResult } from '../request/result.js';
import { endBefore } from '../request/run-request.js';
import { type AddressedSim, addressedTo, defaultSecurity } from '../security/security.js';
import { isRecent, JOURNAL_LOST, mayHaveLostJournal, TOO_OLD } from './device-memory.js';
import type { BroadcastMemory, BroadcastResult } from './memory.js';
import type { BroadcastCommand, BroadcastOptions } from './options.js';
import { createOutageTracker } from './outage.js';
import { createPostLimit } from './post-limit.js';

/** Asks one SIM. Rejects, and the SIM has no outcome, when the broadcast cannot continue or has been stopped. */
export type AskSim = (sim: string) => Promise<BroadcastResult>;

/** A request to one SIM. */
interface SimRequest {
  readonly name: string;
  readonly params?: RequestParams | undefined;
  readonly options: Omit<RequestOptions, 'timeout' | 'devicePort' | 'signal'>;
  /** How the SIM is addressed, where that is known. */
  readonly addressed?: AddressedSim | undefined;
}

/**
 * What a SIM is sent before a command that it may have been sent earlier: in the command's own format, to which the port
 * may be pinned; but text cannot ask for the journal.
 */
const pingIn = (format: BroadcastCommand['format']): SimRequest => ({
  name: 'ping',
  options: format === 'json' || format === 'cbor' ? { format, journal: true } : { get: true, journal: true },
});

type Release = () => void;

/** @param stop aborted with the reason when no other SIM could be asked either */
export function createAskSim(
  command: BroadcastCommand,
  options: BroadcastOptions,
  replies: ReplySource,
  stop: AbortController,
): AskSim {
  const { client, rate, timeout, devicePort, memory, callbackUrl, timeScale } = options;
  const { signal } = stop;
  const security = options.security ?? defaultSecurity();
  const outage = createOutageTracker(options.onOutage);
  const postLimit = createPostLimit();
  const limiter = createRateLimiter({ maxConcurrent: postLimit.current, rate });

  /** Stops the broadcast when the credentials are refused, be it to post or to read replies. */
  function stopIfForbidden(error: unknown): void {
    if (isForbidden(error)) stop.abort(error);
  }

  /**
   * @param releaseFirst the slot of the first datagram, acquired before: a request must not time out while it waits
   * @returns `apiError`, when no datagram could be posted and the SIM is not to blame
   */
  async function askOnce(sim: string, asked: SimRequest, releaseFirst: Release | undefined) {
    let firstSlot = releaseFirst;
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
        const accepted = await client.create(datagram, postLimit.refused);
        mayHaveLeft = true;
        postLimit.accepted();
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
      client: { create, pages: (filters) => client.pages(filters), sim: async (name) => client.sim?.(name) },
      security: security === false || asked.addressed === undefined ? security : addressedTo(security, asked.addressed),
      replies: guardedReplies,
      callbackUrl,
      timeScale,
    });
    try {
      const result = await request(sim, asked.name, asked.params, { ...asked.options, timeout, devicePort, signal });
      return { result, apiError: mayHaveLeft ? undefined : apiError };
    } finally {
      firstSlot?.();
    }
  }

  /** Waits for the slot of a first datagram; a stopped broadcast has none, and its requests end at once. */
  const acquireSlot = () => limiter.acquire('normal', signal).catch(() => undefined);

  /**
   * Makes a request, and makes it again while the API accepts nothing and the SIM is not to blame.
   *
   * @param startedAt when it may have been sent earlier: it is not made once the device may have forgotten that
   */
  async function ask(
    sim: string,
    request: SimRequest,
    firstSlot: Release | undefined,
    startedAt?: number,
  ): Promise<RequestResult> {
    let slot = firstSlot;
    for (let retry = 0; ; retry++) {
      if (startedAt !== undefined && !isRecent(startedAt)) {
        slot?.();
        return notAsked(TOO_OLD);
      }
      const { result, apiError } = await askOnce(sim, request, slot);
      if (signal.aborted && wasStopped(result)) return stopped(result);
      if (apiError === undefined) return result;
      if (isForbidden(apiError) || !outage.shouldRetry(apiError)) throw apiError;
      await realIo.sleep(fullJitter(retry, Math.random()), signal).catch(() => undefined);
      slot = await acquireSlot();
    }
  }

  /** Asks a SIM again that may have been sent the command earlier, unless its device may have forgotten that. */
  async function askAgain(
    sim: string,
    request: SimRequest,
    startedAt: number,
    slot: Release | undefined,
  ): Promise<RequestResult> {
    if (!isRecent(startedAt)) {
      slot?.();
      return notAsked(TOO_OLD);
    }
    const ping = await ask(sim, pingIn(command.format), slot);
    const { journal, apiCalls, timings } = ping;
    if (ping.outcome === 'not-sent' || ping.outcome === 'no-answer') {
      return { outcome: 'no-answer', error: noPing(ping.error), authentic: false, attempts: 0, apiCalls, timings };
    }
    if (mayHaveLostJournal({ startedAt, journal: memory?.journal?.(sim) }, journal)) {
      return { ...notAsked(JOURNAL_LOST), apiCalls, timings };
    }
    // Only after it was judged: what is stored is trusted.
    if (journal !== undefined) await memory?.setJournal?.(sim, journal.id);
    const result = await ask(sim, request, await acquireSlot(), startedAt);
    return { ...result, apiCalls: apiCalls + result.apiCalls };
  }

  /** Records the start. @returns the request, and when an earlier process started it; the error of a key otherwise */
  async function start(sim: string, { identity, start: begin, setProtection }: BroadcastMemory) {
    const { protection, ...own } = identity(sim);
    const addressed = protection === undefined ? await address(sim) : undefined;
    if (addressed !== undefined && 'error' in addressed) return { startedAt: await begin(sim), error: addressed.error };
    const key = protection?.key ?? addressed?.key?.id;
    const startedAt = await begin(sim, ...(key === undefined ? [] : [key]));
    // One that was started without a key, and has one now, stays without.
    const mine = key !== undefined && startedAt === undefined ? { key, blocks: [] } : undefined;
    const onProtection = async (next: RequestProtection) => setProtection?.(sim, next);
    return { startedAt, addressed, options: { identity: { ...own, protection: protection ?? mine }, onProtection } };
  }

  /** @returns how the SIM is addressed, or why its key cannot be used */
  const address = async (sim: string): Promise<AddressedSim | undefined | { readonly error: unknown }> => {
    try {
      return security === false ? undefined : await security.keyFor(sim, client);
    } catch (error) {
      stopIfForbidden(error);
      return { error };
    }
  };

  async function askRemembered(sim: string, slot: Release | undefined): Promise<RequestResult> {
    const { name, params, ...own } = command;
    const { deadline } = options;
    if (memory === undefined || slot === undefined)
      return ask(sim, { name, params, options: { ...own, deadline } }, slot);
    const started = await start(sim, memory).catch((error: unknown) => {
      slot();
      throw error;
    });
    const { startedAt } = started;
    const again = startedAt !== undefined;
    if (started.options === undefined) {
      slot();
      return endBefore(started.error, again);
    }
    const { addressed } = started;
    const request = { name, params, options: { ...own, deadline, again, ...started.options }, addressed };
    return again ? askAgain(sim, request, startedAt, slot) : ask(sim, request, slot);
  }

  return async (sim) => {
    const result = { sim, ...(await askRemembered(sim, await acquireSlot())) };
    await memory?.end(result);
    return result;
  };

  /** The caller gets the result if the caller stopped the broadcast, and no memory could resume it. */
  function stopped(result: RequestResult): RequestResult {
    if (memory === undefined && options.signal?.aborted === true) return result;
    throw signal.reason;
  }
}

/** Tells whether a request ended only because the broadcast was stopped. */
const wasStopped = (result: RequestResult) => result.outcome !== 'done' && result.error.code === 'given-up';

/** The result of a SIM that may have run the command earlier, and is not asked. */
const notAsked = (message: string): RequestResult => ({
  ...makeEnding('no-answer', 'no-answer', message),
  authentic: false,
  attempts: 0,
  apiCalls: 0,
  timings: { ended: 0 },
});

/** The error of a SIM that is not asked again, as its device did not answer the ping before. */
const noPing = ({ message, ...error }: RequestError): RequestError => ({
  ...error,
  message: `it may have been sent earlier, and was not sent again, as a ping before got no answer: ${message}`,
});
