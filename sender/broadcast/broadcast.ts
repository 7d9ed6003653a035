import { setMaxListeners } from 'node:events';
import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { durationSchema } from '../../shared/duration.js';
import { SupersimError } from '../../shared/errors.js';
import { ACCOUNT_INTERVAL_MS, accountReplies } from '../replies/account-polling.js';
import { checkRequest } from '../request/request.js';
import { defaultSecurity } from '../security/security.js';
import { type AskSim, createAskSim } from './ask-sim.js';
import { type CanaryGroup, canaryError, createCanaryGroup, hasFailed } from './canary.js';
import { type ItemSource, mapConcurrently } from './map-concurrently.js';
import type { BroadcastResult } from './memory.js';
import {
  type BroadcastCommand,
  type BroadcastOptions,
  type BroadcastSims,
  DEFAULT_CONCURRENCY,
  MAX_CONCURRENCY,
} from './options.js';
import { readFleet } from './sim-list.js';

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
 * Runs a command on many SIMs' devices, and yields each SIM's outcome as soon as it is known. No more than
 * `concurrency` SIMs are in flight or untaken: `sims` is read as fast as the results are taken.
 *
 * @throws SupersimError `bad-input`, `too-large`; `keys-copied`, `keys-unusable`; `canary-failed`; `api-error` when the credentials are refused, and
 *   `api-error` or `api-unreachable` when the API has accepted no datagram for five minutes; the signal's reason. SIMs
 *   that were started and not yielded have no outcome then: the command may have been sent to them.
 */
export async function* broadcast(
  sims: BroadcastSims,
  command: BroadcastCommand,
  options: BroadcastOptions,
): AsyncGenerator<BroadcastResult, void, undefined> {
  const { canary, total = Array.isArray(sims) ? sims.length : undefined } = options;
  if (canary !== undefined && total === undefined) {
    throw new SupersimError('bad-input', '`canary` needs the number of SIMs: pass `total`');
  }
  if (typeof sims === 'string') throw new SupersimError('bad-input', '`sims` is a string: pass a list');
  const source = 'fleet' in sims ? readFleet(options.client, sims.fleet) : sourceOf(sims);
  yield* broadcastFrom(source, command, options, canary && createCanaryGroup(canary, total ?? 0));
}

const sourceOf = (sims: Iterable<string> | AsyncIterable<string>): ItemSource<string> =>
  Symbol.asyncIterator in sims ? sims[Symbol.asyncIterator]() : sims[Symbol.iterator]();

/** @param group the SIMs of the source that go first, and the progress that an earlier process made with them */
export async function* broadcastFrom(
  source: ItemSource<string>,
  command: BroadcastCommand,
  options: BroadcastOptions,
  group: CanaryGroup | undefined,
): AsyncGenerator<BroadcastResult, void, undefined> {
  const { concurrency, interval } = checkInput(optionsSchema, options, 'the broadcast’s options');
  const { deadline, timeout, devicePort, client, signal } = options;
  const { name, params, ...commandOptions } = command;
  checkRequest(name, params, { ...commandOptions, deadline, timeout, devicePort });
  const security = options.security ?? defaultSecurity();
  if (security !== false) security.expectOwn();
  const stop = new AbortController();
  // A few listeners for each SIM in flight, whose number is bounded.
  setMaxListeners(0, stop.signal);
  const abort = () => stop.abort(signal?.reason);
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted === true) abort();
  const ownReplies = options.replies === undefined ? accountReplies(client, { interval }) : undefined;
  try {
    const askSim = createAskSim(command, options, options.replies ?? ownReplies ?? accountReplies(client), stop);
    const work = { source, mapper: askSim, maxConcurrent: concurrency, stop };
    if (group !== undefined) yield* askGroup(group, work);
    yield* mapConcurrently({ ...work, mayStart: () => true });
    stop.signal.throwIfAborted();
  } finally {
    signal?.removeEventListener('abort', abort);
    ownReplies?.end();
    // Not awaited: the source may still be waiting for its next SIM.
    void Promise.resolve(source.return?.()).catch(() => undefined);
  }
}

interface Work {
  readonly source: ItemSource<string>;
  readonly mapper: AskSim;
  readonly maxConcurrent: number;
  readonly stop: AbortController;
}

async function* askGroup(group: CanaryGroup, work: Work): AsyncGenerator<BroadcastResult, void, undefined> {
  let left = group.count - group.ended;
  const mapper: AskSim = (sim) => {
    left--;
    return work.mapper(sim);
  };
  for await (const result of mapConcurrently({ ...work, mapper, mayStart: () => left > 0 && !hasFailed(group) })) {
    group.ended++;
    if (result.outcome !== 'done') group.failed++;
    yield result;
  }
  if (hasFailed(group)) throw canaryError(group);
}
