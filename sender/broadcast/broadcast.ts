import * as z from 'zod';
import { type Duration, durationSchema } from '../../shared/duration.js';
import { SupersimError } from '../../shared/errors.js';
import { accountReplies } from '../account-replies.js';
import { ApiError } from '../api-error.js';
import type { IpCommandClient } from '../client.js';
import { realIo } from '../http.js';
import { checkInput } from '../input.js';
import type { ReplySource } from '../replies.js';
import type { RequestResult } from '../request/outcome.js';
import type { RequestParams } from '../request/params.js';
import { createRequester, type RequestFormat, type RequestIdentity } from '../request.js';
import { createTokenBucket } from './token-bucket.js';

export const DEFAULT_CONCURRENCY = 100;
export const MAX_CONCURRENCY = 10_000;

/** What a fleet is asked to do. */
export interface BroadcastCommand {
  readonly name: string;
  readonly params?: RequestParams | undefined;
  readonly format?: RequestFormat | undefined;
  readonly get?: boolean | undefined;
}

/** Some go first; when too many of them fare badly, nobody else is asked. */
export interface Canary {
  /** How many of all SIMs, above 0 to 1; at least one. */
  readonly share: number;
  /** The greatest part of them that may end other than `done`, 0 to 1. */
  readonly abortAbove: number;
}

export interface BroadcastOptions {
  readonly client: Pick<IpCommandClient, 'create' | 'pages'>;
  /** Default: {@link accountReplies} of the client. */
  readonly replies?: ReplySource | undefined;
  readonly callbackUrl?: string | undefined;
  /** SIMs at once, 1 to 10,000; default 100. */
  readonly concurrency?: number | undefined;
  /** Most datagrams that are posted in a second, repeats too; default: as fast as it goes. */
  readonly rate?: number | undefined;
  /** Unix time in seconds after which a device must not begin, and no SIM is begun with. */
  readonly deadline?: number | undefined;
  /** Longest wait for each device; default 5min. */
  readonly timeout?: Duration | undefined;
  readonly devicePort?: number | undefined;
  readonly canary?: Canary | undefined;
  /** How many SIMs there are, where a canary's share is asked for of a stream. */
  readonly total?: number | undefined;
  /** By what a SIM's device knows the request; default: by chance. */
  readonly identity?: ((sim: string) => RequestIdentity) | undefined;
  /** Awaited before anything is sent to a SIM. */
  readonly onStart?: ((sim: string) => Promise<void>) | undefined;
  /** Awaited before a result is given. */
  readonly onEnd?: ((result: BroadcastResult) => Promise<void>) | undefined;
  /** Says that a SIM may have been sent the same request before: then it is never `not-sent`. */
  readonly again?: ((sim: string) => boolean) | undefined;
  /** Begins with no further SIM, and ends the waiting for those begun with. */
  readonly signal?: AbortSignal | undefined;
  /** For tests, as in `createRequester`. */
  readonly timeScale?: number | undefined;
}

/** What the command came to on one SIM. */
export type BroadcastResult = RequestResult & { readonly sim: string };

const optionsSchema = z.object({
  concurrency: z.int().min(1).max(MAX_CONCURRENCY).default(DEFAULT_CONCURRENCY),
  rate: z.number().positive().optional(),
  deadline: z.int().min(0).optional(),
  timeout: durationSchema('100ms', '24h').optional(),
  canary: z.object({ share: z.number().gt(0).max(1), abortAbove: z.number().min(0).max(1) }).optional(),
  total: z.int().min(0).optional(),
});

/**
 * Runs a command on many SIMs' devices, and gives what came of it on each as soon as that is known. It holds no more
 * than `concurrency` SIMs at once: `sims` is read, and results are made, as fast as the results are taken.
 *
 * @param sims their SIDs or unique names, each once
 * @throws SupersimError `bad-input`; `canary-failed`; `api-error` when the credentials are refused: the SIMs begun with
 *   and not given have no outcome then, and asking them again with the same identity tells it
 */
export async function* broadcast(
  sims: Iterable<string> | AsyncIterable<string>,
  command: BroadcastCommand,
  options: BroadcastOptions,
): AsyncGenerator<BroadcastResult, void, undefined> {
  const checked = checkInput(optionsSchema, options, 'the broadcast’s options');
  const source = Symbol.asyncIterator in sims ? sims[Symbol.asyncIterator]() : sims[Symbol.iterator]();
  const stop = new AbortController();
  const abort = () => stop.abort(options.signal?.reason);
  options.signal?.addEventListener('abort', abort, { once: true });
  if (options.signal?.aborted === true) abort();
  const ask = asker(command, options, stop);
  try {
    const canaries = canaryCount(checked, Array.isArray(sims) ? sims.length : undefined);
    if (canaries > 0 && checked.canary !== undefined) {
      let bad = 0;
      for await (const result of together(source, canaries, checked.concurrency, ask, stop.signal)) {
        if (result.outcome !== 'done') bad++;
        yield result;
      }
      if (bad > checked.canary.abortAbove * canaries) {
        throw new SupersimError('canary-failed', `${bad} of ${canaries} SIMs that went first are not done`);
      }
    }
    yield* together(source, Number.POSITIVE_INFINITY, checked.concurrency, ask, stop.signal);
  } finally {
    options.signal?.removeEventListener('abort', abort);
    stop.abort(new Error('the broadcast has ended'));
    await source.return?.();
  }
}

function canaryCount({ canary, total }: z.output<typeof optionsSchema>, known: number | undefined): number {
  if (canary === undefined) return 0;
  const all = total ?? known;
  if (all !== undefined) return Math.min(all, Math.max(1, Math.round(all * canary.share)));
  throw new SupersimError('bad-input', 'the share of a stream cannot be known: give `total` beside `canary`');
}

type Ask = (sim: string) => Promise<BroadcastResult>;

/** What asks one SIM; rejects, and stops all, when no other could fare better. */
function asker(command: BroadcastCommand, options: BroadcastOptions, stop: AbortController): Ask {
  const { client, rate, deadline, timeout, devicePort, identity, onStart, onEnd, again } = options;
  const mayPost = rate === undefined ? undefined : createTokenBucket(rate, realIo.sleep);
  let refused: ApiError | undefined;
  const request = createRequester({
    client: {
      pages: (filters) => client.pages(filters),
      async create(params) {
        await mayPost?.(stop.signal);
        try {
          return await client.create(params);
        } catch (error) {
          if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
            refused = error;
            stop.abort(error);
          }
          throw error;
        }
      },
    },
    replies: options.replies ?? accountReplies(client),
    callbackUrl: options.callbackUrl,
    timeScale: options.timeScale,
  });
  const { name, params, format, get } = command;
  return async (sim) => {
    await onStart?.(sim);
    const result = await request(sim, name, params, {
      format,
      get,
      deadline,
      timeout,
      devicePort,
      identity: identity?.(sim),
      again: again?.(sim),
      signal: stop.signal,
    });
    if (refused !== undefined) throw refused;
    const ended = { sim, ...result };
    await onEnd?.(ended);
    return ended;
  };
}

type Source = Iterator<string> | AsyncIterator<string>;

/** Asks the next `count` SIMs, so many at once; gives the results as they come. */
async function* together(
  source: Source,
  count: number,
  concurrency: number,
  ask: Ask,
  signal: AbortSignal,
): AsyncGenerator<BroadcastResult, void, undefined> {
  const results: BroadcastResult[] = [];
  const state = { underWay: 0, begun: 0, exhausted: false, failures: [] as unknown[] };
  let filling: Promise<void> | undefined;
  let wake = () => {};

  /** Whether another SIM may be begun with. A result that nobody has taken keeps its place. */
  const hasRoom = () =>
    !state.exhausted &&
    state.begun < count &&
    state.underWay + results.length < concurrency &&
    state.failures.length === 0 &&
    !signal.aborted;

  async function fill(): Promise<void> {
    while (hasRoom()) {
      const next = await source.next();
      if (next.done === true) {
        state.exhausted = true;
        return;
      }
      state.begun++;
      state.underWay++;
      void run(next.value);
    }
  }

  async function run(sim: string): Promise<void> {
    try {
      results.push(await ask(sim));
    } catch (error) {
      state.failures.push(error);
    }
    state.underWay--;
    wake();
  }

  for (;;) {
    const changed = new Promise<void>((resolve) => {
      wake = resolve;
    });
    if (hasRoom()) {
      filling ??= fill()
        .catch((error: unknown) => void state.failures.push(error))
        .finally(() => {
          filling = undefined;
          wake();
        });
    }
    for (let result = results.shift(); result !== undefined; result = results.shift()) yield result;
    if (filling === undefined && state.underWay === 0 && results.length === 0 && !hasRoom()) break;
    await changed;
  }
  if (state.failures.length > 0) throw state.failures[0];
  signal.throwIfAborted();
}
