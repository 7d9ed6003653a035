import { setMaxListeners } from 'node:events';
import { messageOf } from '../../shared/errors.js';
import { toJson } from '../../shared/format/value.js';
import { VERSION } from '../../shared/version.js';
import { withTimeout } from '../../shared/with-timeout.js';
import { parseRetryAfter, retryDelay } from '../api/backoff.js';
import type { HttpIo } from '../api/http.js';
import { createTurns } from '../base/rate-limiter.js';
import type { Heard } from './event.js';

/** Most that are forwarded at once, and most that wait for it or are; who brings more waits. */
export const FORWARDS_AT_ONCE = 8;
export const MAX_QUEUED = 1000;
/** How long one attempt may take, and for how long it is tried again, in milliseconds. */
export const ATTEMPT_MS = 10_000;
export const TRY_FOR_MS = 5 * 60_000;

/** How it ended: the last HTTP status, or why there was none. */
export interface Forwarded {
  readonly ok: boolean;
  readonly answer: string;
  readonly attempts: number;
}

export interface ForwarderOptions {
  readonly url: URL;
  readonly io: Omit<HttpIo, 'fetch'> & { readonly fetch: (url: URL, init: RequestInit) => Promise<Response> };
  /** Told of each, when it has been forwarded or given up. */
  readonly done: (heard: Heard, how: Forwarded) => Promise<void>;
}

export interface Forwarder {
  /** Resolves when there is room for it. */
  push(heard: Heard): Promise<void>;
  /** Waits so long for what is under way, and ends it. @returns how many were not forwarded */
  stop(graceMs: number): Promise<number>;
}

/** Posts what is heard as JSON to a server of the user's, again while that cannot take it. */
export function createForwarder({ url, io, done }: ForwarderOptions): Forwarder {
  const turns = createTurns({ atOnce: FORWARDS_AT_ONCE });
  const room = createTurns({ atOnce: MAX_QUEUED });
  const ended = new AbortController();
  const { signal } = ended;
  // A few for each that is under way, and these are bounded already.
  setMaxListeners(0, signal);
  const underWay = new Set<Promise<void>>();
  let lost = 0;

  /** @returns undefined when it is to be tried again, after so long */
  async function attempt(body: string): Promise<{ answer: string; ok: boolean; again: boolean; after?: number }> {
    try {
      const response = await withTimeout(
        ATTEMPT_MS,
        async (limited) => {
          const headers = { 'content-type': 'application/json', 'user-agent': `supersim-agent/${VERSION}` };
          const answer = await io.fetch(url, { method: 'POST', headers, body, redirect: 'manual', signal: limited });
          await answer.body?.cancel();
          return answer;
        },
        { signal },
      );
      const { ok, status } = response;
      const after = parseRetryAfter(response.headers.get('retry-after'), io.now());
      return { ok, answer: `HTTP ${status}`, again: isPassing(status), ...(after !== undefined && { after }) };
    } catch (error) {
      const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
      return { ok: false, answer: messageOf(cause), again: true };
    }
  }

  async function deliver(heard: Heard): Promise<void> {
    const end = await turns.take('later', signal);
    try {
      const body = toJson(heard);
      const until = performance.now() + TRY_FOR_MS;
      for (let attempts = 1; ; attempts++) {
        const { ok, answer, again, after } = await attempt(body);
        signal.throwIfAborted();
        const wait = retryDelay(attempts - 1, after, io.random());
        if (ok || !again || performance.now() + wait > until) return await done(heard, { ok, answer, attempts });
        await io.sleep(wait, signal);
      }
    } finally {
      end();
    }
  }

  return {
    async push(heard) {
      const leave = await room.take('later', signal).catch((error: unknown) => {
        lost++;
        throw error;
      });
      const delivery = deliver(heard).catch(() => {
        lost++;
      });
      underWay.add(delivery);
      void delivery.then(() => {
        underWay.delete(delivery);
        leave();
      });
    },
    async stop(graceMs) {
      const grace = setTimeout(() => ended.abort(new Error('ended')), graceMs);
      while (underWay.size > 0) await Promise.all(underWay);
      clearTimeout(grace);
      ended.abort(new Error('ended'));
      return lost;
    },
  };
}

/** What may be otherwise next time. */
const isPassing = (status: number) => status === 408 || status === 425 || status === 429 || status >= 500;
