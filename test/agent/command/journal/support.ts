import { createHash } from 'node:crypto';
import { onTestFinished } from 'vitest';
import { type Log, silentLog } from '../../../../agent/base/log.js';
import type { Moment } from '../../../../agent/base/moment.js';
import type { JournalCommand, JournalEntry, JournalOutcome } from '../../../../agent/command/journal/entry.js';
import { createJournal } from '../../../../agent/command/journal/journal.js';
import type { Found, Journal, JournalLimits } from '../../../../agent/command/journal/types.js';
import {
  type Database,
  type DatabaseOptions,
  type Opened,
  openDatabase,
  type WriteCallback,
} from '../../../../agent/storage/database.js';
import type { SupersimError } from '../../../../shared/errors.js';

export const keyOf = (id: number): Buffer => createHash('sha256').update(String(id)).digest();

export const command = (id: number, change: Partial<JournalCommand> = {}): JournalCommand => ({
  key: keyOf(id),
  peer: 'gateway',
  id,
  name: 'relay.set',
  format: 'json',
  request: Buffer.from(JSON.stringify({ id, method: 'relay.set', params: { channel: 3, on: true } })),
  // Each from another address, as one must not have more than its share.
  source: { address: `100.64.0.${id % 250}`, port: 6969 },
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

/** The databases that are open now. */
const openDatabases = new Set<Database>();

/** A database that is closed with the test. */
export async function openTestDatabase(
  folder: string | undefined,
  log: Log = silentLog,
  options: Partial<Omit<DatabaseOptions, 'folder' | 'log'>> = {},
): Promise<Database> {
  const database = await openDatabase({ folder, log, clock: standingClock().clock, ...options });
  openDatabases.add(database);
  onTestFinished(async () => {
    openDatabases.delete(database);
    await database.close();
  });
  return database;
}

/** All that was to be written is on the disk, and who waited for it was told. */
export async function flushAll(): Promise<void> {
  for (const database of openDatabases) await database.flush();
}

export const tellNothing = () => ({});

export async function openTestJournal(
  folder: string | undefined,
  clock = standingClock().clock,
  limits?: JournalLimits,
): Promise<{ database: Database; journal: Journal }> {
  const database = await openTestDatabase(folder, silentLog, { clock });
  const journal = createJournal(database, clock, limits);
  await journal.recover(tellNothing);
  return { database, journal };
}

/** What the journal knows of a command, as a repeat of it is told. */
export const findIn = (journal: Journal, key: Uint8Array, lifetimeMs = 1000): Promise<Found | undefined> =>
  new Promise((resolve) => journal.find(key, 'gateway', lifetimeMs, resolve));

/** How a database is opened the next time. */
export function reopened(database: Database): Promise<Opened> {
  return new Promise((resolve) => {
    // The listener is called at once where the database is open already.
    let isNext = false;
    database.onOpen((opened) => isNext && resolve(opened));
    isNext = true;
  });
}

/** What a write is told. */
export const told = (write: (done: WriteCallback) => void): Promise<SupersimError | undefined> =>
  new Promise((resolve) => write(resolve));

export const accept = (journal: Journal, id: number, change: Partial<JournalCommand> = {}) =>
  told((done) => journal.accept(command(id, change), done));
export const start = (journal: Journal, id: number) => told((done) => journal.start(keyOf(id), done));
export const finish = (journal: Journal, id: number, outcome: JournalOutcome = 'done') =>
  told((done) => journal.finish(keyOf(id), { outcome, reply: REPLY }, done));

/** A command's whole life, in one commit. */
export const live = (journal: Journal, id: number, change: Partial<JournalCommand> = {}) =>
  Promise.all([accept(journal, id, change), start(journal, id), finish(journal, id)]);

/** What repeats of a command are answered from while it runs, and when it has ended. */
export const RUNNING: Found = { kind: 'running' };
export const ENDED: Found = { kind: 'ended', reply: REPLY };

/** The entry of a command. */
export const entryOf = async (journal: Journal, id: number): Promise<JournalEntry | undefined> =>
  (await journal.list({ limit: 1000 })).find((entry) => entry.command.id === id);
