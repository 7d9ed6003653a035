import { ERRORS } from '../../shared/errors.js';
import { type BroadcastOptions, type BroadcastResult, broadcast } from './broadcast.js';
import { identityOf } from './identity.js';
import type { BroadcastState } from './state.js';

/**
 * How long after the first datagram a SIM is asked again what came of it, in milliseconds: a device remembers commands
 * for a day (`journal.keep`), and would run a later one again.
 */
export const ASK_AGAIN_WITHIN_MS = 23 * 3_600_000;

type Options = Omit<BroadcastOptions, 'deadline' | 'devicePort' | 'total' | 'identity' | 'onStart' | 'onEnd' | 'again'>;

/**
 * Begins a broadcast that is in a file, or goes on with it. Each SIM's outcome is in the file before it is given. SIMs
 * that an earlier process had begun with are asked by the same bytes, which a device knows.
 *
 * @throws as `broadcast`
 */
export async function* runBroadcast(
  state: BroadcastState,
  options: Options,
): AsyncGenerator<BroadcastResult, void, undefined> {
  const { devicePort, deadline, ...command } = state.command;
  const again = new Set<string>();
  for (const { sim, started_at } of state.begun()) {
    if (started_at !== null && Date.now() - Date.parse(started_at) < ASK_AGAIN_WITHIN_MS) continue;
    const result = forgotten(sim);
    await state.end(result);
    yield result;
  }

  function* sims(): Generator<string, void, undefined> {
    for (const { sim, started_at } of state.unended()) {
      if (started_at !== null) again.add(sim);
      yield sim;
    }
  }

  const results = broadcast(sims(), command, {
    ...options,
    devicePort,
    deadline,
    total: state.total,
    identity: (sim) => identityOf(state.seed, sim),
    onStart: state.start,
    again: (sim) => again.has(sim),
    async onEnd(result) {
      again.delete(result.sim);
      if (!isGivenUp(result)) await state.end(result);
    },
  });
  for await (const result of results) if (!isGivenUp(result)) yield result;
}

/** What nobody waits for any more has not ended. */
const isGivenUp = (result: BroadcastResult) => result.outcome !== 'done' && result.error.code === 'given-up';

function forgotten(sim: string): BroadcastResult {
  const { remedy } = ERRORS['no-answer'];
  const message = 'it may have been sent; that is so long ago that the device may have forgotten what came of it';
  const error = { code: 'no-answer', message, remedy } as const;
  return { sim, outcome: 'no-answer', error, attempts: 0, apiCalls: 0, timings: { ended: 0 } };
}
