import { isSupersimError, SupersimError } from '../../../shared/errors.js';
import type { Clock } from '../../base/moment.js';
import type { Database, WriteCallback } from '../../storage/database.js';
import {
  acceptedEntry,
  type Ending,
  endedEntry,
  isLive,
  type JournalCommand,
  type JournalEntry,
  startedEntry,
} from './entry.js';
import { createKeyFilter } from './key-filter.js';
import { ALL_ROWS, createLiveCommands, type LiveCommand, reservedFor } from './live-commands.js';
import { decideRecovery, isEvictable, isForgotten } from './policy.js';
import { readKeyPrefixes, readRow, readRows, removeEnded, totalsOf, updateRow } from './rows.js';
import { JOURNAL_LIMITS, type Journal, type JournalLimits, type Recovered, type TellEnding } from './types.js';
import { createJournalUsage } from './usage.js';

/** At the bound, how long until the journal looks again for something to evict. */
const EVICTION_PAUSE_MS = 1000;

export function createJournal(database: Database, clock: Clock, limits: JournalLimits = JOURNAL_LIMITS): Journal {
  const usage = createJournalUsage(database);
  const live = createLiveCommands(database, usage);
  const keys = createKeyFilter(limits.entries);
  let nextSeq = 1;
  let recovered = false;
  let evictAgainAt = 0;

  function accept(command: JournalCommand, done: WriteCallback): JournalEntry | undefined {
    try {
      const known = find(command.key);
      if (known !== undefined) return known;
      if (!recovered) throw new SupersimError('busy', 'the journal is not ready');
      const entry = acceptedEntry(command, nextSeq, clock());
      if (isFull(entry) && !(evict() && !isFull(entry))) {
        throw new SupersimError('busy', 'the journal is full of commands of which repeats may still come');
      }
      nextSeq++;
      keys.add(command.key);
      live.put(live.add(entry, undefined, 0), entry, done);
    } catch (error) {
      if (!isSupersimError(error, 'busy')) throw error;
      done(error);
    }
    return undefined;
  }

  const isFull = (entry: JournalEntry): boolean =>
    usage.entries >= limits.entries || usage.bytes + reservedFor(entry) > limits.bytes;

  /** @returns whether it made room */
  function evict(): boolean {
    const now = clock();
    if (now.monotonic < evictAgainAt) return false;
    if (usage.prune((entry) => isEvictable(entry, now), 1) > 0) return true;
    evictAgainAt = now.monotonic + EVICTION_PAUSE_MS;
    return false;
  }

  /** Returns the command of a key that has not ended; gives `done` an error when there is none. */
  function liveCommand(key: Uint8Array, done: WriteCallback): LiveCommand | undefined {
    const one = live.get(key);
    if (one !== undefined && isLive(one.entry)) return one;
    done(new SupersimError('busy', 'the journal has no such command that has not ended'));
    return undefined;
  }

  function start(key: Uint8Array, done: WriteCallback): void {
    const one = liveCommand(key, done);
    if (one !== undefined) live.put(one, startedEntry(one.entry, clock()), done);
  }

  function finish(key: Uint8Array, ending: Ending, done: WriteCallback = ignore): void {
    const one = liveCommand(key, done);
    if (one !== undefined) live.put(one, endedEntry(one.entry, ending, clock()), done);
  }

  function find(key: Uint8Array): JournalEntry | undefined {
    const one = live.get(key);
    if (one !== undefined) return one.entry;
    if (!keys.mayHave(key)) return undefined;
    const row = database.read((connection) => readRow(connection, 'key', key));
    if (row === undefined || isLive(row.entry) || !isForgotten(row.entry, clock(), limits.keepMs)) return row?.entry;
    usage.remove(row);
    return undefined;
  }

  /** Returns the state that memory knows, which is the newer one. */
  const newest = (entry: JournalEntry): JournalEntry => live.get(entry.command.key)?.entry ?? entry;

  function recover(tell: TellEnding): Recovered {
    if (recovered) return { run: [], ended: [] };
    const now = clock();
    const rows = database.read((connection) => readRows(connection, 'live', 0, ALL_ROWS));
    const decided = rows.map((row) => ({ ...row, decision: decideRecovery(row.entry, now) }));
    const ended = decided.flatMap(({ entry, decision }) => {
      if (decision === 'run') return [];
      const outcome = RECOVERY_OUTCOMES[decision];
      return [endedEntry(entry, { ...tell(entry, outcome), outcome }, now)];
    });
    writeNow(database, ended);
    const { count, size, last } = database.read(totalsOf);
    usage.entries = count;
    usage.bytes = size;
    nextSeq = Math.max(nextSeq, last + 1);
    const running = decided.filter(({ decision }) => decision === 'run');
    for (const { entry, commandBytes } of running) live.add(entry, entry, commandBytes);
    fillFilter();
    recovered = true;
    return { run: running.map(({ entry }) => entry), ended };
  }

  function fillFilter(): void {
    try {
      keys.fill(database.read(readKeyPrefixes));
    } catch (error) {
      if (!isSupersimError(error, 'busy')) throw error;
    }
    for (const { entry } of live.values()) keys.add(entry.command.key);
  }

  function purge(done: Parameters<Journal['purge']>[0] = ignore): void {
    let gone = { count: 0, size: 0 };
    database.write(
      (connection) => {
        gone = removeEnded(connection);
      },
      (error) => {
        if (error !== undefined) gone = { count: 0, size: 0 };
        usage.entries -= gone.count;
        usage.bytes -= gone.size;
        done(error, gone.count);
      },
    );
  }

  function maintain(): void {
    if (!recovered) return;
    database.flush();
    for (const one of live.values()) if (!isLive(one.entry)) live.put(one, one.entry, ignore);
    const now = clock();
    usage.prune((entry) => isForgotten(entry, now, limits.keepMs), ALL_ROWS);
    live.removeDoubtful();
    if (keys.isWorn) fillFilter();
  }

  return {
    accept,
    start,
    finish,
    find,
    list({ limit }) {
      database.flush();
      return database.read((connection) => readRows(connection, 'newest', 0, limit)).map(({ entry }) => newest(entry));
    },
    get(seq) {
      database.flush();
      const row = database.read((connection) => readRow(connection, 'seq', seq));
      return row && newest(row.entry);
    },
    cancel(seq, ending, done) {
      const one = [...live.values()].find(({ entry }) => entry.seq === seq && entry.state === 'accepted');
      if (one !== undefined) finish(one.entry.command.key, { ...ending, outcome: 'refused' }, done);
      return one !== undefined;
    },
    purge,
    recover,
    maintain,
    get size() {
      return { entries: usage.entries, bytes: usage.bytes, live: live.size };
    },
  };
}

/** @throws SupersimError `busy` when the entries are not on the disk when it returns */
function writeNow(database: Database, ended: readonly JournalEntry[]): void {
  let reason: SupersimError | undefined;
  database.write(
    (connection) => {
      for (const entry of ended) updateRow(connection, entry);
    },
    (error) => {
      reason = error;
    },
  );
  database.flush();
  if (reason !== undefined) throw reason;
}

const ignore = () => undefined;

/** How recovery ends a command. */
const RECOVERY_OUTCOMES = { expire: 'refused', interrupt: 'interrupted', done: 'done' } as const;
