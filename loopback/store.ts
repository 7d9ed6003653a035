import { randomBytes } from 'node:crypto';
import type { IpCommand } from '../shared/ip-command.js';

/** A command as it is kept: its `url` depends on the host it is asked by. */
export type StoredCommand = Omit<IpCommand, 'url'>;

/** Commands in memory, newest last; at the bound the oldest goes out. */
export interface Store {
  add(command: StoredCommand): void;
  /** Replaces the status and the device's address; nothing happens when the command has gone out. */
  settle(sid: string, change: Pick<StoredCommand, 'status' | 'device_ip'>): StoredCommand | undefined;
  get(sid: string): StoredCommand | undefined;
  newestFirst(): StoredCommand[];
}

/** `HG` and 32 hexadecimal digits. */
export const newCommandSid = (): string => `HG${randomBytes(16).toString('hex')}`;

/** The vendor's dates: UTC to the second. */
export const vendorDate = (at = new Date()): string => at.toISOString().replace(/\.\d{3}Z$/, 'Z');

export function createStore(maxCommands: number): Store {
  const commands = new Map<string, StoredCommand>();
  return {
    add(command) {
      commands.set(command.sid, command);
      const [oldest] = commands.keys();
      if (commands.size > maxCommands && oldest !== undefined) commands.delete(oldest);
    },
    settle(sid, change) {
      const command = commands.get(sid);
      if (command === undefined) return undefined;
      const settled = { ...command, ...change, date_updated: vendorDate() };
      commands.set(sid, settled);
      return settled;
    },
    get: (sid) => commands.get(sid),
    newestFirst: () => [...commands.values()].reverse(),
  };
}
