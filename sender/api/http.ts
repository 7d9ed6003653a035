import { setTimeout as delay } from 'node:timers/promises';
import type * as z from 'zod';
import { readBody } from '../../shared/async/read-body.js';
import { withTimeout } from '../../shared/async/with-timeout.js';
import { describeIssues } from '../../shared/check-input.js';
import { messageOf, SupersimError } from '../../shared/errors.js';
import { VERSION } from '../../shared/version.js';
import { ApiError } from './api-error.js';
import type { Authorization } from './authorization.js';
import { parseRetryAfter, retryDelay } from './backoff.js';
import { wasNeverSent } from './network-error.js';
import { type HttpAnswer, type HttpInit, httpFetch } from './node-fetch.js';

/** Most attempts of one request. */
export const MAX_HTTP_ATTEMPTS = 5;
/** Most bytes of an answer: a page of 1000 IP Commands with every character of their payloads escaped. */
export const MAX_API_RESPONSE_BYTES = 16 * 1024 * 1024;
/** Most bytes of an error answer. */
export const MAX_ERROR_BYTES = 64 * 1024;

/** Waits `ms` milliseconds; rejects when the signal is aborted. */
export type Sleep = (ms: number, signal?: AbortSignal) => Promise<void>;

/** Network, clock and random numbers, which tests replace. */
export interface HttpIo {
  readonly fetch: (url: URL, init: HttpInit) => Promise<HttpAnswer>;
  readonly sleep: Sleep;
  /** From 0 to below 1. */
  readonly random: () => number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export const realIo: HttpIo = {
  fetch: httpFetch,
  sleep: (ms, signal) => delay(ms, undefined, signal === undefined ? {} : { signal }),
  random: Math.random,
  now: Date.now,
};

export interface ApiConnection {
  /** Undefined where the request needs none. */
  readonly authorization?: Authorization | undefined;
  /** Time-out of one attempt with the answer's body, in milliseconds. */
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
  readonly io: HttpIo;
}

export interface ApiRequest {
  readonly method: 'GET' | 'POST';
  readonly url: URL;
  readonly form?: URLSearchParams;
  /** Whether the request may be processed twice: a command may not. */
  readonly repeatable: boolean;
  /** Called at each 429, before the request is retried. */
  readonly onBusy?: (() => void) | undefined;
}

/** The result of one attempt: an answer, one whose body is too long, or no answer. */
type Attempt =
  | { readonly status: number; readonly retryAfter: string | null; readonly body: string }
  | { readonly tooLong: true }
  | { readonly broken: unknown };

type Verdict<T> = { readonly value: T } | { readonly error: SupersimError; readonly retry: boolean };

/**
 * Sends a request until there is an answer to return. It is retried after a 429 (it was not processed,
 * docs/vendor-facts.md, "API: rate limit"), after a 401 once where a new token may be had, and if repeatable also after
 * a 5xx, a broken connection or a time-out.
 *
 * @throws ApiError when the API answers with an error
 * @throws SupersimError `api-unreachable`, `api-unknown-fate` (only if not repeatable), `api-invalid-response`
 * @throws the signal's reason, when aborted before the request was sent or, if it is repeatable, at any time
 */
export async function callApi<S extends z.ZodType>(
  connection: ApiConnection,
  request: ApiRequest,
  schema: S,
): Promise<z.output<S>> {
  const { signal, io } = connection;
  for (let retry = 0; ; retry++) {
    signal?.throwIfAborted();
    const attempt = await attemptAuthorized(connection, request);
    if ('status' in attempt && attempt.status === 429) request.onBusy?.();
    if (request.repeatable) signal?.throwIfAborted();
    const verdict = judge(request, attempt, schema);
    if ('value' in verdict) return verdict.value;
    if (!verdict.retry || retry + 1 >= MAX_HTTP_ATTEMPTS) throw verdict.error;
    const retryAfter = 'retryAfter' in attempt ? parseRetryAfter(attempt.retryAfter, io.now()) : undefined;
    await io.sleep(retryDelay(retry, retryAfter, io.random()), signal).catch((error: unknown) => {
      signal?.throwIfAborted();
      throw error;
    });
  }
}

function judge<S extends z.ZodType>(request: ApiRequest, attempt: Attempt, schema: S): Verdict<z.output<S>> {
  const { repeatable } = request;
  if ('tooLong' in attempt)
    return invalidAnswer(repeatable, `the answer is longer than ${MAX_API_RESPONSE_BYTES} bytes`);
  if ('broken' in attempt) return judgeBroken(request, attempt.broken);
  const { status, body } = attempt;
  if (status >= 200 && status < 300) return readAnswer(repeatable, body, schema);
  if (status < 400) {
    const message = `${request.url.origin} answered with a redirect (HTTP ${status}), which is not followed`;
    return { error: new SupersimError('api-invalid-response', message), retry: false };
  }
  const error = new ApiError(status, body);
  if (status === 429) return { error, retry: true };
  if (status < 500) return { error, retry: false };
  return repeatable ? { error, retry: true } : { error: unknownFate(error.message, error), retry: false };
}

function judgeBroken({ repeatable, url }: ApiRequest, broken: unknown): Verdict<never> {
  const reason = reasonOf(broken);
  if (repeatable || wasNeverSent(broken)) {
    const message = `no answer from ${url.origin}: ${reason}`;
    return { error: new SupersimError('api-unreachable', message, { cause: broken }), retry: repeatable };
  }
  return { error: unknownFate(reason, broken), retry: false };
}

/** Returns why a fetch failed: the cause says more than the error itself. */
function reasonOf(thrown: unknown): string {
  const cause = thrown instanceof Error ? thrown.cause : undefined;
  return cause === undefined ? messageOf(thrown) : `${messageOf(thrown)}: ${messageOf(cause)}`;
}

function readAnswer<S extends z.ZodType>(repeatable: boolean, body: string, schema: S): Verdict<z.output<S>> {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch (error) {
    return invalidAnswer(repeatable, 'the answer is not JSON', error);
  }
  const result = schema.safeParse(json);
  if (result.success) return { value: result.data };
  return invalidAnswer(
    repeatable,
    `the answer is not as documented: ${describeIssues(result.error.issues)}`,
    result.error,
  );
}

/** Judges a 2xx that is not as documented: after a POST, the command may have been sent. */
function invalidAnswer(repeatable: boolean, message: string, cause?: unknown): Verdict<never> {
  const error = new SupersimError('api-invalid-response', message, { cause });
  return { error: repeatable ? error : unknownFate(message, error), retry: false };
}

function unknownFate(message: string, cause: unknown): SupersimError {
  return new SupersimError('api-unknown-fate', `the command may have been sent: ${message}`, { cause });
}

/** Makes an attempt, and after a 401, which was not processed, one more where a new token may be had. */
async function attemptAuthorized(connection: ApiConnection, request: ApiRequest): Promise<Attempt> {
  const { authorization } = connection;
  const header = await authorization?.header();
  const attempt = await attemptOnce(connection, request, header);
  const unauthorized = 'status' in attempt && attempt.status === 401;
  if (!unauthorized || header === undefined || authorization?.refused(header) !== true) return attempt;
  return attemptOnce(connection, request, await authorization.header());
}

/** Makes one attempt within the time-out. Never throws. */
async function attemptOnce(
  { timeout, signal, io }: ApiConnection,
  request: ApiRequest,
  authorization: string | undefined,
): Promise<Attempt> {
  try {
    return await withTimeout(
      timeout,
      async (limited) => {
        const response = await io.fetch(request.url, {
          method: request.method,
          headers: {
            accept: 'application/json',
            'user-agent': `supersim-agent/${VERSION}`,
            ...(authorization !== undefined && { authorization }),
          },
          body: request.form ?? null,
          redirect: 'manual',
          signal: limited,
        });
        return readResponse(response);
      },
      { signal },
    );
  } catch (error) {
    return { broken: error };
  }
}

async function readResponse(response: HttpAnswer): Promise<Attempt> {
  const { status } = response;
  const retryAfter = response.headers.get('retry-after');
  if (status >= 200 && status < 300) {
    const body = await readBody(response.body, MAX_API_RESPONSE_BYTES);
    return body === undefined ? { tooLong: true } : { status, retryAfter, body: body.toString() };
  }
  // The status alone is enough: an incomplete body must not hide it.
  const body = await readBody(response.body, MAX_ERROR_BYTES).catch(() => undefined);
  return { status, retryAfter, body: body?.toString() ?? '' };
}
