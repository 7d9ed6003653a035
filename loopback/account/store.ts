import { randomBytes } from 'node:crypto';
import type { IpCommand } from '../../shared/ip-command.js';
import type { Listed } from './paging.js';

/** A command as it is kept: its `url` depends on the host it is asked by. */
export type StoredCommand = Omit<IpCommand, 'url'>;

/** Commands in memory; at the bound the oldest goes out. */
export interface Store {
  add(command: StoredCommand): void;
  /** Replaces the status and the device's address; nothing happens when the command has gone out. */
  settle(sid: string, change: Pick<StoredCommand, 'status' | 'device_ip'>): StoredCommand | undefined;
  get(sid: string): StoredCommand | undefined;
  readonly newestFirst: Listed<StoredCommand>;
}

/** `HG` and 32 hexadecimal digits. */
export const newCommandSid = (): string => `HG${randomBytes(16).toString('hex')}`;

/** The vendor's dates: UTC to the second. */
export const vendorDate = (at = new Date()): string => at.toISOString().replace(/\.\d{3}Z$/, 'Z');

export function createStore(maxCommands: number): Store {
  /** Oldest first; behind `gone`, which are no more, there are `maxCommands` at most. */
  let commands: StoredCommand[] = [];
  let gone = 0;
  const indexOf = new Map<string, number>();

  function forgetOldest(): void {
    const oldest = commands[gone];
    if (oldest !== undefined) indexOf.delete(oldest.sid);
    gone++;
    if (gone <= maxCommands) return;
    commands = commands.slice(gone);
    gone = 0;
    for (const [index, { sid }] of commands.entries()) indexOf.set(sid, index);
  }

  const get = (sid: string) => commands[indexOf.get(sid) ?? -1];

  return {
    add(command) {
      indexOf.set(command.sid, commands.push(command) - 1);
      if (indexOf.size > maxCommands) forgetOldest();
    },
    settle(sid, change) {
      const index = indexOf.get(sid);
      const command = get(sid);
      if (index === undefined || command === undefined) return undefined;
      const settled = { ...command, ...change, date_updated: vendorDate() };
      commands[index] = settled;
      return settled;
    },
    get,
    newestFirst: {
      get length() {
        return commands.length - gone;
      },
      at: (index) => commands[commands.length - 1 - index],
      placeOf: (sid) => commands.length - 1 - (indexOf.get(sid) ?? commands.length),
    },
  };
}
