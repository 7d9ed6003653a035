import { setMaxListeners } from 'node:events';
import { withTimeout } from '../../shared/async/with-timeout.js';
import { messageOf } from '../../shared/errors.js';
import { toJson } from '../../shared/format/value.js';
import { VERSION } from '../../shared/version.js';
import { parseRetryAfter, retryDelay } from '../api/backoff.js';
import type { HttpIo } from '../api/http.js';
import { createRateLimiter } from '../base/rate-limiter.js';
import type { DeviceEvent } from './event.js';

/** Most concurrent requests, and most events in the queue, those in flight included. */
export const MAX_CONCURRENT_FORWARDS = 8;
export const MAX_QUEUED = 1000;
/** The time-out of one attempt, and how long an event is retried, in milliseconds. */
export const ATTEMPT_MS = 10_000;
export const RETRY_FOR_MS = 5 * 60_000;

/** How forwarding an event ended: the last HTTP status, or why there was none. */
export interface ForwardResult {
  readonly ok: boolean;
  readonly answer: string;
  readonly attempts: number;
}

export interface ForwarderOptions {
  readonly url: URL;
  readonly io: Omit<HttpIo, 'fetch'> & { readonly fetch: (url: URL, init: RequestInit) => Promise<Response> };
  /** Called for each event once it has been forwarded or given up. */
  readonly onDone: (event: DeviceEvent, result: ForwardResult) => Promise<void>;
}

interface Attempt {
  readonly ok: boolean;
  readonly answer: string;
  readonly retry: boolean;
  /** Milliseconds that the server asked to wait. */
  readonly after?: number;
}

export interface Forwarder {
  /** Queues an event. Resolves when there is room in the queue. */
  push(event: DeviceEvent): Promise<void>;
  /** Waits up to `graceMs` for the queue, then aborts it. @returns how many events were not forwarded */
  stop(graceMs: number): Promise<number>;
}

/** Creates a forwarder, which posts events as JSON to the user's server, and retries while that fails. */
export function createForwarder({ url, io, onDone }: ForwarderOptions): Forwarder {
  const slots = createRateLimiter({ maxConcurrent: MAX_CONCURRENT_FORWARDS });
  const room = createRateLimiter({ maxConcurrent: MAX_QUEUED });
  const stopping = new AbortController();
  const { signal } = stopping;
  // A few listeners for each queued event, whose number is bounded.
  setMaxListeners(0, signal);
  const inFlight = new Set<Promise<void>>();
  let lost = 0;

  async function attempt(body: string): Promise<Attempt> {
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
      return { ok, answer: `HTTP ${status}`, retry: isTransient(status), ...(after !== undefined && { after }) };
    } catch (error) {
      const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
      return { ok: false, answer: messageOf(cause), retry: true };
    }
  }

  async function deliver(event: DeviceEvent): Promise<void> {
    const release = await slots.acquire('normal', signal);
    try {
      const body = toJson(event);
      const until = performance.now() + RETRY_FOR_MS;
      for (let attempts = 1; ; attempts++) {
        const { ok, answer, retry, after } = await attempt(body);
        signal.throwIfAborted();
        const wait = retryDelay(attempts - 1, after, io.random());
        if (ok || !retry || performance.now() + wait > until) return await onDone(event, { ok, answer, attempts });
        await io.sleep(wait, signal);
      }
    } finally {
      release();
    }
  }

  return {
    async push(event) {
      const release = await room.acquire('normal', signal).catch((error: unknown) => {
        lost++;
        throw error;
      });
      const delivery = deliver(event).catch(() => {
        lost++;
      });
      inFlight.add(delivery);
      void delivery.then(() => {
        inFlight.delete(delivery);
        release();
      });
    },
    async stop(graceMs) {
      const grace = setTimeout(() => stopping.abort(new Error('ended')), graceMs);
      while (inFlight.size > 0) await Promise.all(inFlight);
      clearTimeout(grace);
      stopping.abort(new Error('ended'));
      return lost;
    },
  };
}

/** Tells whether a repeat of the request may succeed. */
const isTransient = (status: number) => status === 408 || status === 425 || status === 429 || status >= 500;
