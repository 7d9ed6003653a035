import { createHash } from 'node:crypto';
import { onTestFinished } from 'vitest';
import { type Log, silentLog } from '../../../../agent/base/log.js';
import type { Moment } from '../../../../agent/base/moment.js';
import type { JournalCommand } from '../../../../agent/command/journal/entry.js';
import { createJournal } from '../../../../agent/command/journal/journal.js';
import type { JournalLimits } from '../../../../agent/command/journal/types.js';
import { type Database, openDatabase, type WriteCallback } from '../../../../agent/storage/database.js';
import type { SupersimError } from '../../../../shared/errors.js';

export const keyOf = (id: number): Buffer => createHash('sha256').update(String(id)).digest();

export const command = (id: number, change: Partial<JournalCommand> = {}): JournalCommand => ({
  key: keyOf(id),
  peer: 'gateway',
  id,
  name: 'relay.set',
  format: 'json',
  request: Buffer.from(JSON.stringify({ id, method: 'relay.set', params: { channel: 3, on: true } })),
  source: { address: '100.64.0.1', port: 6969 },
  port: 6969,
  transport: 'udp',
  idempotent: false,
  deadline: null,
  lifetimeMs: 1000,
  ...change,
});

export const REPLY = Buffer.from('{"id":1,"result":"ok"}');

/** A clock that stands until it is set. */
export function standingClock(start: Moment = { wall: 1_800_000_000_000, monotonic: 50_000, boot: 'first' }) {
  let now = start;
  return {
    clock: () => now,
    set(change: Partial<Moment>) {
      now = { ...now, ...change };
    },
    /** Both clocks go on. */
    pass(ms: number) {
      now = { ...now, wall: now.wall + ms, monotonic: now.monotonic + ms };
    },
  };
}

/** A database that is closed with the test. */
export async function openTestDatabase(folder: string | undefined, log: Log = silentLog, now?: () => number) {
  const database = await openDatabase({ folder, log, ...(now && { now }) });
  onTestFinished(() => database.close());
  return database;
}

export const tellNothing = () => ({});

export async function openTestJournal(
  folder: string | undefined,
  clock = standingClock().clock,
  limits?: JournalLimits,
): Promise<{ database: Database; journal: ReturnType<typeof createJournal> }> {
  const database = await openTestDatabase(folder);
  const journal = createJournal(database, clock, limits);
  journal.recover(tellNothing);
  return { database, journal };
}

/** What a write is told. */
export const told = (write: (done: WriteCallback) => void): Promise<SupersimError | undefined> =>
  new Promise((resolve) => write(resolve));
