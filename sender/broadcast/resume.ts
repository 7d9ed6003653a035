import { broadcastFrom } from './broadcast.js';
import { canaryCount, firstOf } from './canary.js';
import { identityOf } from './identity.js';
import type { BroadcastMemory, BroadcastResult } from './memory.js';
import type { BroadcastOptions } from './options.js';
import type { BroadcastState } from './store/state.js';

type Options = Omit<BroadcastOptions, 'deadline' | 'devicePort' | 'canary' | 'total' | 'memory'> & {
  /** Asks the rest although too many of those that went first are not done. */
  readonly withoutCanary?: boolean | undefined;
};

/**
 * Begins a broadcast that is in a file, or goes on with it. Each SIM's outcome is in the file before it is given. SIMs
 * that an earlier process had begun with are asked by the same bytes, which a device knows.
 *
 * @throws as `broadcast`
 */
export function runBroadcast(
  state: BroadcastState,
  { withoutCanary = false, ...options }: Options,
): AsyncGenerator<BroadcastResult, void, undefined> {
  const { devicePort, deadline, canary, ...command } = state.command;
  const begunAt = new Map<string, number>();

  function* sims(): Generator<string, void, undefined> {
    for (const { sim, started_at } of state.unended()) {
      if (started_at !== null) begunAt.set(sim, Date.parse(started_at));
      yield sim;
    }
  }

  const memory: BroadcastMemory = {
    identity: (sim) => identityOf(state.seed, sim),
    async begin(sim) {
      const before = begunAt.get(sim);
      begunAt.delete(sim);
      if (before === undefined) await state.start(sim);
      return before;
    },
    end: state.end,
  };

  const first =
    canary === undefined || withoutCanary
      ? undefined
      : firstOf(canary, state.total, state.faring(canaryCount(canary, state.total)));
  return broadcastFrom(sims(), command, { ...options, devicePort, deadline, memory }, first);
}
