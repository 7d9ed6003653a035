import { randomUUID } from 'node:crypto';
import type { IpCommand } from '../../shared/ip-command.js';
import type { ListSource } from './paging.js';

/** A stored command; its `url` depends on the host that the client asks. */
export type StoredCommand = Omit<IpCommand, 'url'>;

/** Commands in memory; at the bound the oldest is evicted. */
export interface Store {
  add(command: StoredCommand): void;
  /** Updates the status and the device's address; returns undefined when the command was evicted. */
  updateStatus(sid: string, change: Pick<StoredCommand, 'status' | 'device_ip'>): StoredCommand | undefined;
  get(sid: string): StoredCommand | undefined;
  /** All commands, or those of one SIM. */
  newestFirst(simSid?: string): ListSource<StoredCommand>;
}

/** The SIDs of a SIM's commands, oldest first; the first `evicted` are no longer stored. */
interface SimCommands {
  sids: string[];
  evicted: number;
}

/** Returns `HG` and 32 hexadecimal digits. */
export const newCommandSid = (): string => `HG${randomUUID().replaceAll('-', '')}`;

/** Formats a date as the vendor does: UTC to the second. */
export const vendorDate = (at = new Date()): string => at.toISOString().replace(/\.\d{3}Z$/, 'Z');

export function createStore(maxCommands: number): Store {
  /** Oldest first; the first `evicted` entries are no longer stored. */
  let commands: StoredCommand[] = [];
  let evicted = 0;
  const indexOf = new Map<string, number>();
  const bySim = new Map<string, SimCommands>();

  function evictOldest(): void {
    const oldest = commands[evicted];
    if (oldest !== undefined) {
      indexOf.delete(oldest.sid);
      evictOldestOf(oldest.sim_sid);
    }
    evicted++;
    if (evicted <= maxCommands) return;
    commands = commands.slice(evicted);
    evicted = 0;
    for (const [index, { sid }] of commands.entries()) indexOf.set(sid, index);
  }

  function evictOldestOf(simSid: string): void {
    const its = bySim.get(simSid);
    if (its === undefined) return;
    its.evicted++;
    if (its.evicted === its.sids.length) bySim.delete(simSid);
    else if (its.evicted * 2 > its.sids.length) {
      its.sids = its.sids.slice(its.evicted);
      its.evicted = 0;
    }
  }

  function addToSim({ sid, sim_sid: simSid }: StoredCommand): void {
    const its = bySim.get(simSid);
    if (its === undefined) bySim.set(simSid, { sids: [sid], evicted: 0 });
    else its.sids.push(sid);
  }

  const all: ListSource<StoredCommand> = {
    get length() {
      return commands.length - evicted;
    },
    at: (index) => commands[commands.length - 1 - index],
    indexOfSid: (sid) => commands.length - 1 - (indexOf.get(sid) ?? commands.length),
  };

  function ofSim(simSid: string): ListSource<StoredCommand> {
    const { sids, evicted: gone } = bySim.get(simSid) ?? { sids: [], evicted: 0 };
    return { length: sids.length - gone, at: (index) => get(sids[sids.length - 1 - index] ?? '') };
  }

  const get = (sid: string) => commands[indexOf.get(sid) ?? -1];

  return {
    add(command) {
      indexOf.set(command.sid, commands.push(command) - 1);
      addToSim(command);
      if (indexOf.size > maxCommands) evictOldest();
    },
    updateStatus(sid, change) {
      const index = indexOf.get(sid);
      const command = get(sid);
      if (index === undefined || command === undefined) return undefined;
      const updated = { ...command, ...change, date_updated: vendorDate() };
      commands[index] = updated;
      return updated;
    },
    get,
    newestFirst: (simSid) => (simSid === undefined ? all : ofSim(simSid)),
  };
}
