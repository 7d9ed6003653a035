import { symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../agent/base/moment.js';
import type { JournalState } from '../../../agent/command/journal/entry.js';
import { createJournal } from '../../../agent/command/journal/journal.js';
import { workerSource } from '../../../scripts/worker-source.mjs';
import { findIn, keyOf, openTestDatabase } from '../../agent/command/journal/support.js';
import { temporaryFolder } from '../../support/files.js';
import { startProcess } from '../../support/process.js';
import { SEED, seededRandom } from '../../support/seed.js';

/** Bundles the writer where Node finds the native package. */
async function bundledWriter(): Promise<string> {
  const folder = temporaryFolder();
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
  const outfile = join(folder, 'writer.mjs');
  await build({
    entryPoints: [resolve('test/stories/journal/writer.ts')],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    logLevel: 'warning',
    plugins: [workerSource],
  });
  return outfile;
}

const ORDER: readonly JournalState[] = ['accepted', 'started', 'done'];

/** Starts the agent after the kill, and says what each command of which something was said has become. */
async function afterKill(folder: string, output: string) {
  const database = await openTestDatabase(folder);
  const journal = createJournal(database, systemClock());
  const recovered = await journal.recover((_, outcome) => ({ code: outcome }));
  expect(database.status).toMatchObject({ damaged: 0, lost: 0 });
  const acknowledged = new Map<number, JournalState>();
  for (const [, word, id] of output.matchAll(/^(\w+) (\d+)$/gm)) {
    const state = ORDER.find((one) => one === word);
    if (state !== undefined) acknowledged.set(Number(id), state);
  }
  const entries = new Map((await journal.list({ limit: 100_000 })).map((entry) => [entry.command.id, entry]));
  const states = new Map<number, string>();
  for (const [id, said] of acknowledged) {
    const entry = entries.get(id);
    const runs = recovered.run.some(({ command }) => command.id === id);
    const state = entry === undefined ? 'lost' : runs ? 'runs' : entry.state;
    states.set(id, state);
    expect(POSSIBLE[said], `${id}, of which was said ${said}, is ${state}`).toContain(state);
    const reply = Buffer.from(`reply ${id}`);
    if (state === 'done') expect(await findIn(journal, keyOf(id))).toEqual({ kind: 'ended', reply });
  }
  for (const { command } of recovered.run) expect(command.request).toEqual(Buffer.alloc(200, Number(command.id)));
  await database.close();
  return { states, journal };
}

/** What may be found of a command of which this was said: the same, or a step further that was not said any more. */
const POSSIBLE: Record<string, readonly string[]> = {
  accepted: ['runs', 'interrupted', 'done'],
  started: ['interrupted', 'done'],
  done: ['done'],
};

describe('kill -9', () => {
  it.each([
    ['accepting', undefined],
    ['accepted', 'runs'],
    ['starting', 'runs'],
    ['started', 'interrupted'],
    ['finishing', 'interrupted'],
    ['done', 'done'],
  ])('when a command is %s leaves it %s', async (step, state) => {
    const folder = temporaryFolder();
    const writer = startProcess(process.execPath, [await bundledWriter(), folder, step]);
    expect(await writer.ended).toBe('SIGKILL');
    const { states } = await afterKill(folder, writer.output());
    expect(states.get(0)).toBe(state);
  });

  it('at random moments loses nothing that was acknowledged', async () => {
    const random = seededRandom(SEED);
    const file = await bundledWriter();
    for (let round = 0; round < 10; round++) {
      const folder = temporaryFolder();
      const writer = startProcess(process.execPath, [file, folder]);
      await writer.line(new RegExp(`^\\w+ ${1 + random.integer(200)}$`));
      writer.kill('SIGKILL');
      expect(await writer.ended).toBe('SIGKILL');
      const { states } = await afterKill(folder, writer.output());
      expect(states.size).toBeGreaterThan(0);
    }
  }, 60_000);
});
