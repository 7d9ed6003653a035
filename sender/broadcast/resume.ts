import { broadcastFrom } from './broadcast.js';
import { canaryCount, createCanaryGroup } from './canary.js';
import { requestIdentityOf } from './identity.js';
import type { BroadcastMemory, BroadcastResult } from './memory.js';
import type { BroadcastOptions } from './options.js';
import type { BroadcastState } from './store/state.js';

type Options = Omit<BroadcastOptions, 'deadline' | 'devicePort' | 'canary' | 'total' | 'memory'> & {
  /** Asks the other SIMs although too many of the canary SIMs failed. */
  readonly withoutCanary?: boolean | undefined;
};

/**
 * Starts or resumes a broadcast that is in a file. Each SIM's outcome is in the file before it is given. SIMs that an
 * earlier process had started with are sent the same bytes, which a device recognises, unless its journal is another.
 *
 * @throws as `broadcast`
 */
export function runBroadcast(
  state: BroadcastState,
  { withoutCanary = false, ...options }: Options,
): AsyncGenerator<BroadcastResult, void, undefined> {
  const { devicePort, deadline, canary, ...command } = state.command;
  const startedAt = new Map<string, number>();
  const journals = new Map<string, string>();

  function* sims(): Generator<string, void, undefined> {
    for (const { sim, started_at, journal } of state.pending()) {
      if (started_at !== null) startedAt.set(sim, Date.parse(started_at));
      if (journal !== null) journals.set(sim, journal);
      yield sim;
    }
  }

  const memory: BroadcastMemory = {
    identity: (sim) => requestIdentityOf(state.seed, sim),
    async start(sim) {
      const before = startedAt.get(sim);
      startedAt.delete(sim);
      if (before === undefined) await state.start(sim);
      return before;
    },
    journal: (sim) => journals.get(sim),
    setJournal: state.setJournal,
    async end(result) {
      journals.delete(result.sim);
      await state.end(result);
    },
  };

  const group =
    canary === undefined || withoutCanary
      ? undefined
      : createCanaryGroup(canary, state.total, state.canaryProgress(canaryCount(canary, state.total)));
  return broadcastFrom(sims(), command, { ...options, devicePort, deadline, memory }, group);
}
