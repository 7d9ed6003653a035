import type { Database, WriteCallback } from '../../storage/database.js';
import { isLive, type JournalEntry, writeProgress } from './entry.js';
import { insertRow, readRows, removeRow, updateRow } from './rows.js';
import type { JournalUsage } from './usage.js';

/** Bytes that a live command is counted as besides its request: its record, and a reply of 1300 bytes in Base64. */
const RESERVED_BYTES = 2560;
/** As many rows as there are, which the limits bound. */
export const ALL_ROWS = Number.MAX_SAFE_INTEGER;

/** A command that has not ended, or whose end is not on the disk yet. */
export interface LiveCommand {
  entry: JournalEntry;
  /** Its last state on the disk; undefined before the first. */
  saved: JournalEntry | undefined;
  /** Size of its fixed record. */
  commandBytes: number;
  readonly reserved: number;
}

/** Keeps the commands of which memory knows more than the disk, and writes their states. */
export function createLiveCommands(database: Database, usage: JournalUsage) {
  const live = new Map<string, LiveCommand>();
  /** A commit failed that may have reached the disk all the same. */
  let doubtful = false;

  database.onFresh((connection) => {
    usage.entries = live.size;
    usage.bytes = 0;
    for (const one of live.values()) {
      usage.bytes += one.reserved;
      if (one.saved !== undefined) insertRow(connection, one.saved, writeProgress(one.saved));
    }
  });

  function add(entry: JournalEntry, saved: JournalEntry | undefined, commandBytes: number): LiveCommand {
    const one: LiveCommand = { entry, saved, commandBytes, reserved: reservedFor(entry) };
    live.set(textOf(entry.command.key), one);
    usage.entries++;
    usage.bytes += one.reserved;
    return one;
  }

  /** Removes a command whose end is on the disk, or which never was on it. */
  function release(one: LiveCommand): boolean {
    if (!live.delete(textOf(one.entry.command.key))) return false;
    usage.bytes -= one.reserved;
    return true;
  }

  /** Writes a command's next state. */
  function put(one: LiveCommand, entry: JournalEntry, done: WriteCallback): void {
    const previous = one.entry;
    let progressBytes = 0;
    one.entry = entry;
    database.write(
      (connection) => {
        // Otherwise its next state is in this commit too, and includes this one.
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

  function saved(one: LiveCommand, entry: JournalEntry, progressBytes: number): void {
    one.saved = entry;
    if (!isLive(entry) && release(one)) usage.bytes += one.commandBytes + progressBytes;
  }

  function failed(one: LiveCommand, entry: JournalEntry, previous: JournalEntry): void {
    if (one.saved === undefined) {
      if (!release(one)) return;
      usage.entries--;
      doubtful = true;
    }
    // A command that has ended stays ended, and is written later; one that was to start has not started.
    else if (isLive(entry) && one.entry === entry) one.entry = previous;
  }

  /** Removes live rows that memory does not know: their commands were refused, as their commit failed. */
  function removeDoubtful(): void {
    if (!doubtful) return;
    const known = new Set([...live.values()].map(({ entry }) => entry.seq));
    database.write(
      (connection) => {
        for (const { entry } of readRows(connection, 'live', 0, ALL_ROWS)) {
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
    add,
    put,
    removeDoubtful,
    get: (key: Uint8Array): LiveCommand | undefined => live.get(textOf(key)),
    values: () => live.values(),
    get size() {
      return live.size;
    },
  };
}

/** Returns the bytes that a command may need in the journal. */
export const reservedFor = ({ command }: JournalEntry): number => 2 * command.request.length + RESERVED_BYTES;

const textOf = (key: Uint8Array): string => Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
