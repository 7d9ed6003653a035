import { SupersimError } from '../../shared/errors.js';
import type { Sim, SimState } from './sims.js';
import { vendorDate } from './store.js';

export type WebhookMethod = 'GET' | 'POST';

export interface Fleet {
  readonly sid: string;
  readonly uniqueName: string;
  readonly ipCommandsUrl: string | null;
  readonly ipCommandsMethod: WebhookMethod;
  readonly dateUpdated: string;
}

/** The account's SIMs and Fleets. */
export interface SimRegistry {
  /** When the loopback started, which is the creation date of every SIM and Fleet. */
  readonly dateCreated: string;
  sims(): Sim[];
  /** Finds by SID or unique name. */
  sim(key: string): Sim | undefined;
  simByAddress(address: string): Sim | undefined;
  /**
   * Sets the state of one SIM or of all, and returns these.
   *
   * @throws SupersimError `bad-input` for an unknown SIM
   */
  setState(state: SimState, key?: string): Sim[];
  /** Finds by SID or unique name. */
  fleet(key: string): Fleet | undefined;
  /** Stores the Fleet and returns it with its new date. */
  updateFleet(fleet: Fleet): Fleet;
}

export function createSimRegistry(given: readonly Sim[]): SimRegistry {
  const dateCreated = vendorDate();
  const sims = new Map(given.map((sim) => [sim.sid, sim]));
  const sidByName = new Map(given.map((sim) => [sim.uniqueName, sim.sid]));
  const sidByAddress = new Map(given.map((sim) => [sim.address, sim.sid]));
  const fleets = new Map(given.map((sim) => [sim.fleetSid, newFleet(sim, dateCreated)]));
  const fleetSidByName = new Map(given.map((sim) => [sim.fleetName, sim.fleetSid]));
  const find = (key: string) => sims.get(key) ?? sims.get(sidByName.get(key) ?? '');
  return {
    dateCreated,
    sims: () => [...sims.values()],
    sim: find,
    simByAddress: (address) => sims.get(sidByAddress.get(address) ?? ''),
    setState(state, key) {
      const chosen = key === undefined ? [...sims.values()] : [find(key)];
      return chosen.map((sim) => {
        if (sim === undefined)
          throw new SupersimError('bad-input', `no SIM has the name or SID ${JSON.stringify(key)}`);
        const changed = { ...sim, state };
        sims.set(sim.sid, changed);
        return changed;
      });
    },
    fleet: (key) => fleets.get(key) ?? fleets.get(fleetSidByName.get(key) ?? ''),
    updateFleet(fleet) {
      const updated = { ...fleet, dateUpdated: vendorDate() };
      fleets.set(fleet.sid, updated);
      return updated;
    },
  };
}

function newFleet(sim: Sim, dateUpdated: string): Fleet {
  return {
    sid: sim.fleetSid,
    uniqueName: sim.fleetName,
    ipCommandsUrl: null,
    ipCommandsMethod: 'POST',
    dateUpdated,
  };
}
