import type { RunStatement } from '../../storage/batch.js';
import type { Database, WriteCallback } from '../../storage/database.js';
import { isLive, type JournalCommand, type JournalEntry } from './entry.js';
import type { Ended } from './identities.js';
import type { RememberedCommands } from './remembered.js';
import { insertRow, keepCount, removeRows, updateRow } from './rows.js';

/** Bytes that a live command is counted as besides its request: its record, and a reply of 1300 bytes. */
const RESERVED_BYTES = 2048;
/** How long after a failed commit its rows are removed, and the ends that it should have written are written again. */
const RETRY_MS = 1000;

/** A command that has not ended, or whose end is not on the disk yet. */
export interface LiveCommand {
  entry: JournalEntry;
  /** Its last state on the disk; undefined before the first. */
  saved: JournalEntry | undefined;
  /** Size of its records when it was inserted, and of its progress, if that was updated. */
  insertedBytes: number;
  progressBytes: number;
  readonly reserved: number;
}

/** Keeps the commands of which memory knows more than the disk, and writes their states. */
export function createLiveCommands(database: Database, remembered: RememberedCommands) {
  const live = new Map<string, LiveCommand>();
  /** Rows of commands that were refused as their commit failed: it may have reached the disk all the same. */
  let doubtful: number[] = [];
  let retrying = false;
  let bytes = 0;

  database.onFresh((run) => {
    keepCount(run, database.lastCount);
    for (const one of live.values()) if (one.saved !== undefined) insertRow(run, one.saved, database.nextCount());
    doubtful = [];
  });
  database.onOpen(({ writable }) => writable && retry());

  function add(entry: JournalEntry, saved?: JournalEntry, insertedBytes = 0): LiveCommand {
    const one: LiveCommand = { entry, saved, insertedBytes, progressBytes: 0, reserved: reservedFor(entry.command) };
    live.set(textOf(entry.command.key), one);
    bytes += one.reserved;
    return one;
  }

  /** Removes a command whose end is on the disk, or which never was on it. */
  function release(one: LiveCommand): boolean {
    if (!live.delete(textOf(one.entry.command.key))) return false;
    bytes -= one.reserved;
    return true;
  }

  /** Writes a command's next state. */
  function put(one: LiveCommand, entry: JournalEntry, done: WriteCallback): void {
    const previous = one.entry;
    one.entry = entry;
    // Before its count is on the disk, which is higher than theirs.
    if (doubtful.length > 0) removeDoubtful();
    database.write(
      (run) => {
        // Otherwise its next state is in this commit too, and includes this one.
        if (one.entry === entry) write(one, run);
      },
      (error) => {
        if (error === undefined) saved(one, entry);
        else failed(one, entry, previous);
        done(error);
      },
    );
  }

  function write(one: LiveCommand, run: RunStatement): void {
    const count = database.nextCount();
    if (one.saved === undefined) one.insertedBytes = insertRow(run, one.entry, count);
    else one.progressBytes = updateRow(run, one.entry, count);
  }

  function saved(one: LiveCommand, entry: JournalEntry): void {
    one.saved = entry;
    if (!isLive(entry) && release(one)) remembered.add(endedOf(entry, one.insertedBytes + one.progressBytes));
  }

  function failed(one: LiveCommand, entry: JournalEntry, previous: JournalEntry): void {
    if (one.saved === undefined) {
      if (!release(one)) return;
      doubtful.push(entry.seq);
    }
    // A command that has ended stays ended, and is written later; one that was to start has not started.
    else if (isLive(entry) && one.entry === entry) one.entry = previous;
    retryLater();
  }

  function retryLater(): void {
    if (retrying) return;
    retrying = true;
    setTimeout(() => {
      retrying = false;
      retry();
    }, RETRY_MS).unref();
  }

  /** Writes the ends that could not be written, and removes the rows of commands that were refused. */
  function retry(): void {
    for (const one of live.values()) if (!isLive(one.entry)) put(one, one.entry, ignore);
    if (doubtful.length === 0) return;
    if (!database.status.writable) {
      retryLater();
      return;
    }
    removeDoubtful();
  }

  function removeDoubtful(): void {
    const rows = doubtful;
    doubtful = [];
    database.write(
      (run) => removeRows(run, rows, database.lastCount),
      (error) => {
        if (error === undefined) return;
        doubtful = [...rows, ...doubtful];
        retryLater();
      },
    );
  }

  return {
    add,
    put,
    retry,
    get: (key: Uint8Array): LiveCommand | undefined => live.get(textOf(key)),
    values: () => live.values(),
    get size() {
      return live.size;
    },
    /** The bytes that they may need in the journal. */
    get bytes() {
      return bytes;
    },
  };
}

const ignore = () => undefined;

/** Returns what is kept of a command that has ended. @param bytes size of its row */
export const endedOf = (
  { seq, command, outcome, code, reply, finished, received }: JournalEntry,
  bytes: number,
): Ended => ({
  seq,
  key: command.key,
  outcome,
  code,
  lifetimeMs: command.lifetimeMs,
  finished: finished ?? received,
  hadReply: reply !== null,
  bytes,
});

/** Returns the bytes that a command may need in the journal. */
export const reservedFor = ({ request }: JournalCommand): number => request.length + RESERVED_BYTES;

const textOf = (key: Uint8Array): string => Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
