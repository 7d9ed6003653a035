import { setMaxListeners } from 'node:events';
import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { durationSchema } from '../../shared/duration.js';
import { SupersimError } from '../../shared/errors.js';
import type { IpCommandClient } from '../api/client.js';
import { ACCOUNT_INTERVAL_MS, accountReplies } from '../replies/account-polling.js';
import { checkRequest } from '../request/request.js';
import { type Ask, createAsk } from './ask-sim.js';
import { canaryFailed, type First, firstOf, hasFailed } from './canary.js';
import { type Source, together } from './map-concurrently.js';
import type { BroadcastResult } from './memory.js';
import {
  type BroadcastCommand,
  type BroadcastOptions,
  type BroadcastSims,
  DEFAULT_CONCURRENCY,
  MAX_CONCURRENCY,
} from './options.js';

const optionsSchema = z.object({
  interval: z.number().min(1).default(ACCOUNT_INTERVAL_MS),
  concurrency: z.int().min(1).max(MAX_CONCURRENCY).default(DEFAULT_CONCURRENCY),
  rate: z.number().min(0.001).optional(),
  deadline: z.int().min(0).optional(),
  timeout: durationSchema('100ms', '24h').optional(),
  canary: z.object({ share: z.number().gt(0).max(1), abortAbove: z.number().min(0).max(1) }).optional(),
  total: z.int().min(0).optional(),
});

/**
 * Runs a command on many SIMs' devices, and gives what came of it on each as soon as that is known. It holds no more
 * than `concurrency` SIMs at once: `sims` is read, and results are made, as fast as the results are taken.
 *
 * @throws SupersimError `bad-input`, `too-large`; `canary-failed`; `api-error` when the credentials are refused, and
 *   `api-error` or `api-unreachable` when the API has taken no datagram for five minutes; the signal's reason. The SIMs
 *   begun with and not given have no outcome then, and may have been sent the command.
 */
export async function* broadcast(
  sims: BroadcastSims,
  command: BroadcastCommand,
  options: BroadcastOptions,
): AsyncGenerator<BroadcastResult, void, undefined> {
  const { canary, total = Array.isArray(sims) ? sims.length : undefined } = options;
  if (canary !== undefined && total === undefined) {
    throw new SupersimError('bad-input', 'a share of an unknown number cannot be known: give `total` beside `canary`');
  }
  if (typeof sims === 'string') throw new SupersimError('bad-input', 'the SIMs are one string: give a list');
  const source = 'fleet' in sims ? sidsOf(options.client, sims.fleet) : sourceOf(sims);
  yield* broadcastFrom(source, command, options, canary && firstOf(canary, total ?? 0));
}

async function* sidsOf(client: Pick<IpCommandClient, 'sims'>, fleet: string): AsyncGenerator<string, void, undefined> {
  for await (const { sid } of client.sims(fleet)) yield sid;
}

const sourceOf = (sims: Iterable<string> | AsyncIterable<string>): Source<string> =>
  Symbol.asyncIterator in sims ? sims[Symbol.asyncIterator]() : sims[Symbol.iterator]();

/** @param first how many of the SIMs go first, and how those have fared that an earlier process asked */
export async function* broadcastFrom(
  source: Source<string>,
  command: BroadcastCommand,
  options: BroadcastOptions,
  first: First | undefined,
): AsyncGenerator<BroadcastResult, void, undefined> {
  const { concurrency, interval } = checkInput(optionsSchema, options, 'the broadcast’s options');
  const { deadline, timeout, devicePort, client, signal } = options;
  const { name, params, ...written } = command;
  checkRequest(name, params, { ...written, deadline, timeout, devicePort });
  const stop = new AbortController();
  // A few for each SIM at once, and these are bounded already.
  setMaxListeners(0, stop.signal);
  const abort = () => stop.abort(signal?.reason);
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted === true) abort();
  const looks = options.replies === undefined ? accountReplies(client, { interval }) : undefined;
  try {
    const work = createAsk(command, options, options.replies ?? looks ?? accountReplies(client), stop);
    if (first !== undefined) yield* askFirst(first, { source, work, most: concurrency, stop });
    yield* together({ source, work, most: concurrency, stop, mayBegin: () => true });
    stop.signal.throwIfAborted();
  } finally {
    signal?.removeEventListener('abort', abort);
    looks?.end();
    // Not awaited: who was stopped while the source had to be waited for does not wait for it.
    void Promise.resolve(source.return?.()).catch(() => undefined);
  }
}

interface Work {
  readonly source: Source<string>;
  readonly work: Ask;
  readonly most: number;
  readonly stop: AbortController;
}

async function* askFirst(first: First, work: Work): AsyncGenerator<BroadcastResult, void, undefined> {
  let left = first.count - first.ended;
  const counted = { ...work, mayBegin: () => left > 0 && !hasFailed(first), work: askOne };

  function askOne(sim: string): Promise<BroadcastResult> {
    left--;
    return work.work(sim);
  }

  for await (const result of together(counted)) {
    first.ended++;
    if (result.outcome !== 'done') first.failed++;
    yield result;
  }
  if (hasFailed(first)) throw canaryFailed(first);
}
