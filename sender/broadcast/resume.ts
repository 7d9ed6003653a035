import type { RequestProtection } from '../request/protection.js';
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
 * Starts or resumes a broadcast that is in a file, to which SIMs may still be added, unless it has a canary. Each SIM's
 * outcome is in the file before it is given. SIMs that an earlier process had started with are sent the same bytes, which a
 * device recognises, unless its journal is another.
 *
 * @throws as `broadcast`, and at the end what the adding of SIMs has thrown
 */
export async function* runBroadcast(
  state: BroadcastState,
  { withoutCanary = false, ...options }: Options,
): AsyncGenerator<BroadcastResult, void, undefined> {
  const { devicePort, deadline, canary, name, params, format, get } = state.command;
  const command = { name, params, format, get };
  const startedAt = new Map<string, number>();
  const journals = new Map<string, string>();
  const protections = new Map<string, RequestProtection>();

  let failure: { readonly error: unknown } | undefined;

  /** Waits for SIMs that are read meanwhile; where that fails, those that are there are asked all the same. */
  async function* sims(): AsyncGenerator<string, void, undefined> {
    for (let known = 0; ; ) {
      const { isWhole, total } = state;
      let last = total;
      for (const { position, sim, started_at, journal, protection } of state.pending(known)) {
        last = Math.max(last, position);
        if (started_at !== null) startedAt.set(sim, Date.parse(started_at));
        if (journal !== null) journals.set(sim, journal);
        if (protection !== null) protections.set(sim, protection);
        yield sim;
      }
      if (isWhole) return;
      known = last;
      try {
        await state.grown(known);
      } catch (error) {
        failure = { error };
        return;
      }
    }
  }

  const memory: BroadcastMemory = {
    identity: (sim) => ({ ...requestIdentityOf(state.seed, sim), protection: protections.get(sim) }),
    async start(sim, key) {
      const before = startedAt.get(sim);
      startedAt.delete(sim);
      if (before === undefined) await state.start(sim, key === undefined ? undefined : { key, blocks: [] });
      return before;
    },
    setProtection: state.setProtection,
    journal: (sim) => journals.get(sim),
    setJournal: state.setJournal,
    async end(result) {
      journals.delete(result.sim);
      protections.delete(result.sim);
      await state.end(result);
    },
  };

  const group =
    canary === undefined || withoutCanary
      ? undefined
      : createCanaryGroup(canary, state.total, state.canaryProgress(canaryCount(canary, state.total)));
  yield* broadcastFrom(sims(), command, { ...options, devicePort, deadline, memory }, group);
  if (failure !== undefined) throw failure.error;
}
