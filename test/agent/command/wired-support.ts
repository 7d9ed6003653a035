import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished, vi } from 'vitest';
import { silentLog } from '../../../agent/base/log.js';
import { type Clock, systemClock } from '../../../agent/base/moment.js';
import type { JournalEntry } from '../../../agent/command/journal/entry.js';
import { createJournal } from '../../../agent/command/journal/journal.js';
import { OLDEST_FIRST, parseRows } from '../../../agent/command/journal/rows.js';
import type { JournalLimits } from '../../../agent/command/journal/types.js';
import { recoverCommands } from '../../../agent/command/recover.js';
import { defineHandler } from '../../../agent/handlers/handler.js';
import { NUMBER_FILES } from '../../../agent/security/number-files.js';
import { WINDOW_FILE } from '../../../agent/security/window-file.js';
import { COUNT_NAME, DATABASE_NAME, MARKER_NAME } from '../../../agent/storage/folder.js';
import { connect } from '../../../agent/storage/sqlite.js';
import { deferred } from '../../support/deferred.js';
import { temporaryFolder } from '../../support/files.js';
import { type PipelineSetup, startPipeline } from '../../support/pipeline.js';
import { flushAll, openTestDatabase } from './journal/support.js';

export interface WiredSetup extends Omit<PipelineSetup, 'journal'> {
  /** The state folder; one of the test's own if none is given. */
  readonly folder?: string;
  readonly clock?: Clock;
  readonly limits?: JournalLimits;
  readonly retryMs?: number;
}

/** A pipeline with a journal on the disk, as it is after the start of an agent. */
export async function startWired({
  folder = temporaryFolder(),
  clock = systemClock(),
  limits,
  retryMs,
  ...rest
}: WiredSetup) {
  const log = rest.log ?? silentLog;
  const database = await openTestDatabase(folder, log, { clock, ...(retryMs !== undefined && { retryMs }) });
  const journal = createJournal(database, clock, limits);
  const started = startPipeline({ ...rest, config: { ...rest.config, state: { folder } }, journal });
  onTestFinished(() => started.pipeline.stop());
  const recover = async () => {
    await started.security.whenReady();
    return recoverCommands(journal, started.pipeline, log);
  };
  const recovered = await recover();
  return { ...started, folder, database, journal, recover, recovered, texts: () => textsOf(started.sent) };
}

const textsOf = (sent: readonly { readonly bytes: Buffer }[]) => sent.map(({ bytes }) => bytes.toString());

/** What is committed now, oldest first, read from a copy: the agent has locked the files. */
export function onDisk(folder: string): JournalEntry[] {
  const connection = connect(join(asAfterKill(folder), DATABASE_NAME));
  try {
    return parseRows(connection.all(OLDEST_FIRST, [0, 1000])).map(({ entry }) => entry);
  } finally {
    connection.close();
  }
}

/** A state folder as the end of the agent's process at this moment would leave it. */
export function asAfterKill(folder: string): string {
  const copy = temporaryFolder();
  const names = [DATABASE_NAME, `${DATABASE_NAME}-wal`, MARKER_NAME, COUNT_NAME, ...NUMBER_FILES, WINDOW_FILE];
  const files = names.map((name) => join(folder, name));
  // By another process: to close one of them in this one would release its locks (fcntl(2), "Advisory record locking").
  execFileSync('cp', [...files.filter((file) => existsSync(file)), copy]);
  return copy;
}

/** A handler that must not run twice, ends when it is let, and tells how often it was called. */
export function heldHandler(name = 'hold', idempotent = false) {
  const called: unknown[] = [];
  const running = deferred();
  const release = deferred<unknown>();
  const handler = defineHandler({
    name,
    description: '',
    idempotent,
    run(params) {
      called.push(params);
      running.resolve();
      return release.promise;
    },
  });
  return { handler, called, running: running.promise, release: release.resolve };
}

/** A handler that must not run twice, and what was so when it was called. */
export function lookingHandler<T>(name: string, look: () => T, result: unknown = 'ok') {
  const seen: T[] = [];
  const handler = defineHandler({
    name,
    description: '',
    run() {
      seen.push(look());
      return result;
    },
  });
  return { handler, seen };
}

/**
 * Intervals that pass only when the test lets them. The monotonic clock goes on besides: the database waits by it for
 * other writes.
 *
 * @returns a function that lets time pass
 */
export function skippableTime(): (ms: number) => void {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  let skipped = 0;
  const now = performance.now.bind(performance);
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now() + skipped);
  onTestFinished(() => {
    clock.mockRestore();
    vi.useRealTimers();
  });
  return (ms) => {
    skipped += ms;
    vi.advanceTimersByTime(ms);
  };
}

/** All that was set off has been done, commits included. */
export async function settled(): Promise<void> {
  for (let round = 0; round < 3; round++) {
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    await flushAll();
  }
}
