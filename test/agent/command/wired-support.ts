import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { silentLog } from '../../../agent/base/log.js';
import { type Clock, systemClock } from '../../../agent/base/moment.js';
import type { JournalEntry } from '../../../agent/command/journal/entry.js';
import { createJournal } from '../../../agent/command/journal/journal.js';
import { readRows } from '../../../agent/command/journal/rows.js';
import type { JournalLimits } from '../../../agent/command/journal/types.js';
import { recoverCommands } from '../../../agent/command/recover.js';
import { defineHandler } from '../../../agent/handlers/handler.js';
import { DATABASE_NAME } from '../../../agent/storage/database.js';
import { connect } from '../../../agent/storage/sqlite.js';
import { deferred } from '../../support/deferred.js';
import { temporaryFolder } from '../../support/files.js';
import { type PipelineSetup, startPipeline } from '../../support/pipeline.js';
import { openTestDatabase } from './journal/support.js';

export interface WiredSetup extends Omit<PipelineSetup, 'journal'> {
  /** The state folder; one of the test's own if none is given. */
  readonly folder?: string;
  readonly clock?: Clock;
  readonly limits?: JournalLimits;
  /** The time by which the database is opened again. */
  readonly now?: () => number;
}

/** A pipeline with a journal on the disk, as it is after the start of an agent. */
export async function startWired({
  folder = temporaryFolder(),
  clock = systemClock(),
  limits,
  now,
  ...rest
}: WiredSetup) {
  const log = rest.log ?? silentLog;
  const database = await openTestDatabase(folder, log, now);
  const journal = createJournal(database, clock, limits);
  const started = startPipeline({ ...rest, journal });
  onTestFinished(() => started.pipeline.stop());
  const recover = () => recoverCommands(journal, started.pipeline, log);
  const recovered = recover();
  return { ...started, folder, database, journal, recover, recovered, texts: () => textsOf(started.sent) };
}

const textsOf = (sent: readonly { readonly bytes: Buffer }[]) => sent.map(({ bytes }) => bytes.toString());

/** What another program that opens the database now finds committed in it, oldest first. */
export function onDisk(folder: string): JournalEntry[] {
  const connection = connect(join(folder, DATABASE_NAME));
  try {
    return readRows(connection, 'newest', 0, 1000)
      .map(({ entry }) => entry)
      .reverse();
  } finally {
    connection.close();
  }
}

/** A state folder as the end of the agent's process at this moment would leave it. */
export function asAfterKill(folder: string): string {
  const copy = temporaryFolder();
  for (const suffix of ['', '-wal']) {
    cpSync(join(folder, DATABASE_NAME + suffix), join(copy, DATABASE_NAME + suffix));
  }
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

/** All that was set off has been done, commits included. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}
