import { execFile } from 'node:child_process';
import { appendFileSync, mkdtempSync, realpathSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { markRecord } from './write-log.js';

/** Errors that a disk gives, by their numbers in Linux. */
export const DISK_ERRORS = { EIO: 5, ENOSPC: 28, EROFS: 30 } as const;

type DiskError = keyof typeof DISK_ERRORS;

/** What is wrong with the disk; nothing by default. */
export interface DiskFaults {
  /** How much longer each sync takes. */
  readonly fsyncDelayMs?: number;
  readonly fsyncError?: DiskError;
  /** How many syncs fail before the next works again; default: all. */
  readonly fsyncCount?: number;
  readonly writeError?: DiskError;
  readonly writeCount?: number;
  /** Syncs wait until this is taken away. */
  readonly hang?: boolean;
}

export type FaultyDisk = Awaited<ReturnType<typeof makeFaultyDisk>>;

/**
 * Makes a faulty disk: programs that are started with its environment find what lies below `folder` on a disk that is
 * slow, or fails, as `set` says; everything else is as it was. See faulty-disk.c.
 *
 * @param folder exists already
 * @param scratch where it can keep files of its own, outside of `folder`
 * @param options `log`: whether it writes down what is written, for powerCuts()
 */
export async function makeFaultyDisk(folder: string, scratch: string, { log = true }: { log?: boolean } = {}) {
  const own = mkdtempSync(join(realpathSync(scratch), 'faulty-disk-'));
  const library = join(own, 'faulty-disk.so');
  const control = join(own, 'control');
  const logFile = join(own, 'log');
  const source = join('test', 'support', 'faulty-disk.c');
  await promisify(execFile)('cc', ['-shared', '-fPIC', '-O2', '-pthread', '-o', library, source]);
  let generation = 0;

  /** Replaces all that was wrong before. It holds from the program's next call. */
  function set({ fsyncDelayMs = 0, fsyncError, fsyncCount, writeError, writeCount, hang = false }: DiskFaults): void {
    const lines = [
      `generation=${++generation}`,
      `fsync_delay_ms=${fsyncDelayMs}`,
      `fsync_errno=${fsyncError === undefined ? 0 : DISK_ERRORS[fsyncError]}`,
      `fsync_count=${fsyncCount ?? -1}`,
      `write_errno=${writeError === undefined ? 0 : DISK_ERRORS[writeError]}`,
      `write_count=${writeCount ?? -1}`,
      `hang=${hang ? 1 : 0}`,
    ];
    // Renamed, so that it is never read half written.
    writeFileSync(`${control}.new`, lines.join('\n'));
    renameSync(`${control}.new`, control);
  }

  set({});
  if (log) writeFileSync(logFile, '');
  return {
    folder,
    /** What was written, for powerCuts(). */
    log: logFile,
    /** Environment variables of the programs that use the disk. */
    env: {
      LD_PRELOAD: library,
      FAULTY_DISK_FOLDER: realpathSync(folder),
      FAULTY_DISK_CONTROL: control,
      ...(log && { FAULTY_DISK_LOG: logFile }),
    },
    set,
    /** Says in the log that something has happened by now that is no write. Others can, by appending markRecord(). */
    mark: (text: string) => appendFileSync(logFile, markRecord(text)),
  };
}
