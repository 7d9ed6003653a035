import { ERRORS } from '../../shared/errors.js';
import { isForbidden, mayPass } from '../api/api-error.js';
import { fullJitter } from '../api/backoff.js';
import type { IpCommandClient } from '../api/client.js';
import { realIo } from '../api/http.js';
import { createTurns } from '../base/rate-limiter.js';
import type { ReplySource } from '../replies/polling.js';
import { createRequester } from '../request/request.js';
import type { BroadcastResult } from './memory.js';
import type { BroadcastCommand, BroadcastOptions } from './options.js';
import { createOutage } from './outage.js';

/** Most calls of the API at once to post datagrams: accounts have a limit, which the vendor does not tell. */
export const MAX_POSTS_AT_ONCE = 32;
/**
 * How long after the first datagram a SIM is asked again what came of it, in milliseconds: a device remembers commands
 * for a day (`journal.keep`), and would run a later one again.
 */
export const ASK_AGAIN_WITHIN_MS = 23 * 3_600_000;
/** A moment of the future means that a clock was set, and its age is unknown; by less, that two clocks differ. */
const MAX_SKEW_MS = 60_000;

/** Asks one SIM. Rejects when the broadcast cannot go on, or has been stopped: the SIM has no outcome then. */
export type Ask = (sim: string) => Promise<BroadcastResult>;

/** @param stop aborted with the reason when no SIM could fare better */
export function createAsk(
  command: BroadcastCommand,
  options: BroadcastOptions,
  replies: ReplySource,
  stop: AbortController,
): Ask {
  const { client, rate, deadline, timeout, devicePort, memory, callbackUrl, timeScale } = options;
  const { name, params, ...written } = command;
  const { signal } = stop;
  const outage = createOutage(options.onTrouble);
  const turns = createTurns({ atOnce: MAX_POSTS_AT_ONCE, rate });

  /** Stops when nobody is let in, be it to post or to look for replies. */
  function stopIfForbidden(error: unknown): void {
    if (isForbidden(error)) stop.abort(error);
  }

  /**
   * @param first the turn of the first datagram: a request that waits for its turn must not run out of time
   * @returns `trouble`, when no datagram could be posted and the SIM is not to blame
   */
  async function askOnce(sim: string, again: boolean, first: () => void) {
    let leave: (() => void) | undefined = first;
    let mayHaveLeft = false;
    let trouble: unknown;
    const note = (error: unknown) => {
      stopIfForbidden(error);
      if (isForbidden(error) || mayPass(error)) trouble = error;
      else mayHaveLeft = true;
    };
    const create: IpCommandClient['create'] = async (datagram) => {
      const done = leave ?? (await turns.take('first', signal));
      leave = undefined;
      try {
        const taken = await client.create(datagram);
        mayHaveLeft = true;
        outage.over();
        return taken;
      } catch (error) {
        note(error);
        throw error;
      } finally {
        done();
      }
    };
    const guarded: ReplySource = {
      async listen(name, listener) {
        const trouble = (error: unknown) => {
          stopIfForbidden(error);
          listener.trouble(error);
        };
        try {
          return await replies.listen(name, { heard: listener.heard, called: listener.called, trouble });
        } catch (error) {
          note(error);
          throw error;
        }
      },
      learn: (name, simSid) => replies.learn?.(name, simSid),
    };
    const request = createRequester({
      client: { create, pages: (filters) => client.pages(filters) },
      replies: guarded,
      callbackUrl,
      timeScale,
    });
    const identity = memory?.identity(sim);
    const how = { ...written, deadline, timeout, devicePort, identity, again, signal };
    try {
      const result = await request(sim, name, params, how);
      return { result: { sim, ...result }, trouble: mayHaveLeft ? undefined : trouble };
    } finally {
      leave?.();
    }
  }

  return async (sim) => {
    let begunAt: number | undefined;
    for (let retry = 0; ; retry++) {
      const leave = await turns.take('later', signal).catch(noTurn);
      if (leave !== stopped && retry === 0) {
        begunAt = await memory?.begin(sim).catch((error: unknown) => {
          leave();
          throw error;
        });
      }
      if (begunAt !== undefined && !isRemembered(begunAt)) {
        leave();
        return ended(forgotten(sim));
      }
      const { result, trouble } = await askOnce(sim, begunAt !== undefined, leave);
      if (signal.aborted && isGivenUp(result)) return givenUp(result);
      if (trouble === undefined) return ended(result);
      if (isForbidden(trouble) || !outage.goOn(trouble)) throw trouble;
      await realIo.sleep(fullJitter(retry, Math.random()), signal).catch(() => undefined);
    }
  };

  async function ended(result: BroadcastResult): Promise<BroadcastResult> {
    await memory?.end(result);
    return result;
  }

  /** The caller gets it when it is the caller who stopped, and there is nothing else that remembers the SIM. */
  function givenUp(result: BroadcastResult): BroadcastResult {
    if (memory === undefined && options.signal?.aborted === true) return result;
    throw signal.reason;
  }
}

/** The turn of who is stopped while waiting for it. */
const stopped = () => {};
const noTurn = () => stopped;

function isRemembered(begunAt: number): boolean {
  const age = Date.now() - begunAt;
  return age > -MAX_SKEW_MS && age < ASK_AGAIN_WITHIN_MS;
}

/** What nobody waits for any more has not ended. */
const isGivenUp = (result: BroadcastResult) => result.outcome !== 'done' && result.error.code === 'given-up';

function forgotten(sim: string): BroadcastResult {
  const { remedy } = ERRORS['no-answer'];
  const message = 'it may have been sent; that is so long ago that the device may have forgotten what came of it';
  const error = { code: 'no-answer', message, remedy } as const;
  return { sim, outcome: 'no-answer', error, attempts: 0, apiCalls: 0, timings: { ended: 0 } };
}
