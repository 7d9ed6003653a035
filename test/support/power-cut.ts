import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { SeededRandom } from './seed.js';
import { readWriteLog, type WriteRecord } from './write-log.js';

/**
 * What becomes, at a power cut, of what was written and not synced: nothing of it is there, all of it, some of it, or
 * all but the end of the last write, which stopped at the boundary of a sector.
 */
export const FATES = ['nothing', 'everything', 'some', 'torn'] as const;
export type Fate = (typeof FATES)[number];

const SECTOR_BYTES = 512;

/** A write to a file, or a truncation. */
interface Change {
  readonly record: WriteRecord;
  /** `doubtful`: a sync failed, so that the kernel need not write it any more, and a later sync does not say that it has. */
  state: 'pending' | 'synced' | 'doubtful';
}

/** A file, whatever it is called. */
interface LoggedFile {
  readonly changes: Change[];
}

/** A name that a file got or lost. The files' names reach the disk in this order. */
interface NameChange {
  readonly kind: 'create' | 'unlink' | 'rename';
  readonly file: LoggedFile;
  readonly name: string;
  readonly to: string;
}

/**
 * Reads the log of a faulty disk whose folder was empty, and builds the folder as a power cut leaves it.
 *
 * A file has what was written before its last sync, and of what was written later what the fate says. A name is there
 * when the file was synced under it, or its folder was; those changed later are there up to one of them.
 */
export function powerCuts(logFile: string) {
  const records = readWriteLog(readFileSync(logFile));
  return {
    records,
    /** The marks before a record. */
    marks: (before = records.length): string[] =>
      records.slice(0, before).flatMap(({ kind, data }) => (kind === 'mark' ? [data.toString()] : [])),
    /** Writes the files as they are after the power went off before a record. */
    build(before: number, fate: Fate, random: SeededRandom, folder: string): void {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      for (const [name, bytes] of filesAfter(records.slice(0, before), fate, random)) {
        const path = join(folder, name);
        mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
        writeFileSync(path, bytes, { mode: 0o600 });
      }
    },
  };
}

function filesAfter(records: readonly WriteRecord[], fate: Fate, random: SeededRandom): Map<string, Buffer> {
  const { saved, pending } = replay(records);
  const kept = fate === 'nothing' ? 0 : fate === 'some' ? random.integer(pending.length + 1) : pending.length;
  for (const change of pending.slice(0, kept)) rename(saved, change);
  return new Map([...saved].map(([name, file]) => [name, contentOf(file, fate, random)]));
}

/** Follows the log; returns the names on the disk, and the changes of names that may not have reached it. */
function replay(records: readonly WriteRecord[]) {
  /** The names as the program sees them, and as they are on the disk. */
  const names = new Map<string, LoggedFile>();
  const saved = new Map<string, LoggedFile>();
  let pending: NameChange[] = [];

  function change(kind: NameChange['kind'], file: LoggedFile, name: string, to = ''): void {
    const one = { kind, file, name, to };
    pending.push(one);
    rename(names, one);
  }

  function named(name: string): LoggedFile {
    const found = names.get(name);
    if (found !== undefined) return found;
    const file: LoggedFile = { changes: [] };
    change('create', file, name);
    return file;
  }

  /** A sync of a file brings its first name with it, that of a folder all names. */
  function sync({ kind, name, offset }: WriteRecord): void {
    const file = names.get(name);
    const isReached = (one: NameChange) => file === undefined || (one.kind === 'create' && one.file === file);
    for (const one of file?.changes ?? []) {
      if (one.record.at < offset && one.state === 'pending') one.state = kind === 'sync' ? 'synced' : 'doubtful';
    }
    if (kind !== 'sync') return;
    for (const one of pending.filter(isReached)) rename(saved, one);
    pending = pending.filter((one) => !isReached(one));
  }

  for (const record of records) {
    const { kind, name, data } = record;
    const file = names.get(name);
    if (kind === 'write' || kind === 'truncate') named(name).changes.push({ record, state: 'pending' });
    else if (kind === 'create') named(name);
    else if (kind === 'sync' || kind === 'failed-sync') sync(record);
    else if (kind !== 'mark' && file !== undefined) change(kind, file, name, data.toString());
  }
  return { saved, pending };
}

/** Applies a change of names; one whose file has another name there is without effect. */
function rename(names: Map<string, LoggedFile>, { kind, file, name, to }: NameChange): void {
  if (kind === 'create') names.set(name, file);
  else if (names.get(name) === file) names.delete(name);
  if (kind === 'rename') names.set(to, file);
}

function contentOf({ changes }: LoggedFile, fate: Fate, random: SeededRandom): Buffer {
  const last = changes.findLast(({ state }) => state !== 'synced');
  const most = Math.max(0, ...changes.map(({ record: { offset, data } }) => offset + data.length));
  const content = Buffer.alloc(most);
  let size = 0;
  for (const one of changes) {
    const { kind, offset, data } = one.record;
    if (one.state !== 'synced' && (fate === 'nothing' || (fate === 'some' && random.integer(2) === 0))) continue;
    const bytes = fate === 'torn' && one === last ? torn(data, random) : data;
    bytes.copy(content, offset);
    // What lies behind the end reads as zeros when the file grows again.
    if (kind === 'truncate') content.fill(0, offset, size);
    size = kind === 'truncate' ? offset : Math.max(size, offset + bytes.length);
  }
  return content.subarray(0, size);
}

/** Returns the first sectors of a write, and not all of them. */
const torn = (data: Buffer, random: SeededRandom): Buffer =>
  data.subarray(0, SECTOR_BYTES * random.integer(Math.ceil(data.length / SECTOR_BYTES)));
