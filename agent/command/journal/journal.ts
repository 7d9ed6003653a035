import { isSupersimError, SupersimError } from '../../../shared/errors.js';
import type { Clock } from '../../base/moment.js';
import type { Database, Done } from '../../storage/database.js';
import {
  acceptedEntry,
  type Ending,
  endedEntry,
  isLive,
  type JournalCommand,
  type JournalEntry,
  startedEntry,
  writeProgress,
} from './entry.js';
import { createKeyFilter } from './key-filter.js';
import { decideRecovery, isEvictable, isForgotten } from './policy.js';
import { insertRow, readKeyPrefixes, readRow, readRows, removeEnded, removeRow, totalsOf, updateRow } from './rows.js';
import { JOURNAL_LIMITS, type Journal, type JournalLimits, type Recovered, type TellEnding } from './types.js';
import { createJournalUsage } from './usage.js';

/** What a live command is counted as besides its request: its record, and a reply of 1300 bytes in Base64. */
const RESERVED_BYTES = 2560;
/** At the bound, how long until it is looked again for something to evict. */
const EVICTION_PAUSE_MS = 1000;

/** A command that has not ended, or whose end is not on the disk yet. */
interface Held {
  entry: JournalEntry;
  /** Its last state that is on the disk; undefined before the first. */
  saved: JournalEntry | undefined;
  /** Of its record that never changes. */
  commandBytes: number;
  readonly reserved: number;
}

export function createJournal(database: Database, clock: Clock, limits: JournalLimits = JOURNAL_LIMITS): Journal {
  const held = new Map<string, Held>();
  const keys = createKeyFilter(limits.entries);
  const room = createJournalUsage(database);
  let nextSeq = 1;
  let recovered = false;
  /** A commit failed that may have reached the disk all the same. */
  let doubtful = false;
  let evictAgainAt = 0;

  database.onFresh((connection) => {
    room.entries = held.size;
    room.bytes = 0;
    for (const one of held.values()) {
      room.bytes += one.reserved;
      if (one.saved !== undefined) insertRow(connection, one.saved, writeProgress(one.saved));
    }
  });

  function hold(entry: JournalEntry, saved: JournalEntry | undefined, commandBytes: number): Held {
    const one: Held = { entry, saved, commandBytes, reserved: reservedFor(entry) };
    held.set(keyOf(entry.command.key), one);
    keys.add(entry.command.key);
    room.entries++;
    room.bytes += one.reserved;
    return one;
  }

  /** Its end is on the disk, or it never was. */
  function release(one: Held): boolean {
    if (!held.delete(keyOf(one.entry.command.key))) return false;
    room.bytes -= one.reserved;
    return true;
  }

  /** Writes a command's next state. */
  function put(one: Held, entry: JournalEntry, done: Done): void {
    const previous = one.entry;
    let progressBytes = 0;
    one.entry = entry;
    database.write(
      (connection) => {
        // Otherwise its next state is in this commit too, and has all of this one.
        if (one.entry !== entry) return;
        const progress = writeProgress(entry);
        progressBytes = progress.length;
        if (one.saved === undefined) one.commandBytes = insertRow(connection, entry, progress);
        else updateRow(connection, entry, progress);
      },
      (error) => {
        if (error === undefined) saved(one, entry, progressBytes);
        else failed(one, entry, previous);
        done(error);
      },
    );
  }

  function saved(one: Held, entry: JournalEntry, progressBytes: number): void {
    one.saved = entry;
    if (!isLive(entry) && release(one)) room.bytes += one.commandBytes + progressBytes;
  }

  function failed(one: Held, entry: JournalEntry, previous: JournalEntry): void {
    if (one.saved === undefined) {
      if (!release(one)) return;
      room.entries--;
      doubtful = true;
    }
    // What has ended stays so, and is written later; what was to start has not started.
    else if (isLive(entry) && one.entry === entry) one.entry = previous;
  }

  function accept(command: JournalCommand, done: Done): JournalEntry | undefined {
    try {
      const known = find(command.key);
      if (known !== undefined) return known;
      if (!recovered) throw new SupersimError('busy', 'the journal is not ready');
      const entry = acceptedEntry(command, nextSeq, clock());
      if (isFull(entry) && !(evict() && !isFull(entry))) {
        throw new SupersimError('busy', 'the journal is full of commands of which repeats may still come');
      }
      nextSeq++;
      put(hold(entry, undefined, 0), entry, done);
    } catch (error) {
      if (!isSupersimError(error, 'busy')) throw error;
      done(error);
    }
    return undefined;
  }

  const isFull = (entry: JournalEntry): boolean =>
    room.entries >= limits.entries || room.bytes + reservedFor(entry) > limits.bytes;

  /** Makes room, and says whether it did. */
  function evict(): boolean {
    const now = clock();
    if (now.monotonic < evictAgainAt) return false;
    if (room.prune((entry) => isEvictable(entry, now), 1) > 0) return true;
    evictAgainAt = now.monotonic + EVICTION_PAUSE_MS;
    return false;
  }

  /** A live command of this key; `done` is told when there is none. */
  function live(key: Uint8Array, done: Done): Held | undefined {
    const one = held.get(keyOf(key));
    if (one !== undefined && isLive(one.entry)) return one;
    done(new SupersimError('busy', 'the journal has no such command that has not ended'));
    return undefined;
  }

  function start(key: Uint8Array, done: Done): void {
    const one = live(key, done);
    if (one !== undefined) put(one, startedEntry(one.entry, clock()), done);
  }

  function finish(key: Uint8Array, ending: Ending, done: Done = ignore): void {
    const one = live(key, done);
    if (one !== undefined) put(one, endedEntry(one.entry, ending, clock()), done);
  }

  function find(key: Uint8Array): JournalEntry | undefined {
    const one = held.get(keyOf(key));
    if (one !== undefined) return one.entry;
    if (!keys.mayHave(key)) return undefined;
    const row = database.read((connection) => readRow(connection, 'key', key));
    if (row === undefined || isLive(row.entry) || !isForgotten(row.entry, clock(), limits.keepMs)) return row?.entry;
    room.remove(row);
    return undefined;
  }

  /** The state that memory knows is the newer one. */
  const newest = (entry: JournalEntry): JournalEntry => held.get(keyOf(entry.command.key))?.entry ?? entry;

  function recover(tell: TellEnding): Recovered {
    if (recovered) return { run: [], ended: [] };
    const now = clock();
    const rows = database.read((connection) => readRows(connection, 'live', 0, ALL));
    const decided = rows.map((row) => ({ ...row, decision: decideRecovery(row.entry, now) }));
    const ended = decided.flatMap(({ entry, decision }) => {
      if (decision === 'run') return [];
      const outcome = ENDINGS[decision];
      return [endedEntry(entry, { ...tell(entry, outcome), outcome }, now)];
    });
    writeNow(ended);
    const { count, size, last } = database.read(totalsOf);
    room.entries = count;
    room.bytes = size;
    nextSeq = Math.max(nextSeq, last + 1);
    const running = decided.filter(({ decision }) => decision === 'run');
    for (const { entry, commandBytes } of running) hold(entry, entry, commandBytes);
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
    for (const { entry } of held.values()) keys.add(entry.command.key);
  }

  /** @throws SupersimError `busy` when it is not on the disk then */
  function writeNow(ended: readonly JournalEntry[]): void {
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

  /** Live rows that nobody holds are of commands that were refused, as their commit failed. */
  function removeDoubtful(): void {
    const known = new Set([...held.values()].map(({ entry }) => entry.seq));
    database.write(
      (connection) => {
        for (const { entry } of readRows(connection, 'live', 0, ALL)) {
          if (!known.has(entry.seq)) removeRow(connection, entry.seq);
        }
      },
      (error) => {
        doubtful = error !== undefined;
      },
    );
    database.flush();
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
      const one = [...held.values()].find(({ entry }) => entry.seq === seq && entry.state === 'accepted');
      if (one !== undefined) finish(one.entry.command.key, { ...ending, outcome: 'refused' }, done);
      return one !== undefined;
    },
    purge(done = ignore) {
      let gone = { count: 0, size: 0 };
      database.write(
        (connection) => {
          gone = removeEnded(connection);
        },
        (error) => {
          if (error !== undefined) gone = { count: 0, size: 0 };
          room.entries -= gone.count;
          room.bytes -= gone.size;
          done(error, gone.count);
        },
      );
    },
    recover,
    maintain() {
      if (!recovered) return;
      database.flush();
      for (const one of held.values()) if (!isLive(one.entry)) put(one, one.entry, ignore);
      const now = clock();
      room.prune((entry) => isForgotten(entry, now, limits.keepMs), ALL);
      if (doubtful) removeDoubtful();
      if (keys.isWorn) fillFilter();
    },
    get size() {
      return { entries: room.entries, bytes: room.bytes, live: held.size };
    },
  };
}

const keyOf = (key: Uint8Array): string => Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
const reservedFor = ({ command }: JournalEntry): number => 2 * command.request.length + RESERVED_BYTES;
/** As many as there are, which the limits bound. */
const ALL = Number.MAX_SAFE_INTEGER;
const ignore = () => undefined;

/** How recovery ends a command. */
const ENDINGS = { expire: 'refused', interrupt: 'interrupted', done: 'done' } as const;
