import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import * as z from 'zod';
import type { Loopback } from '../../loopback/index.js';
import { OUTCOMES } from '../../shared/outcome.js';
import { buildProgram, builtProgram } from './built-program.js';
import { temporaryFolder } from './files.js';
import { readRuns } from './fleet.js';
import { type Running, startProcess } from './process.js';

/** Builds the program of {@link startBroadcast}; gives what removes it. */
export const buildBroadcast = (): Promise<() => void> => buildProgram('broadcast');

/** A folder with a list of a loopback's SIMs, and what a broadcast to them leaves behind. */
export async function broadcastFolder({ sims }: Loopback) {
  const folder = temporaryFolder();
  const list = join(folder, 'sims.csv');
  await writeFile(list, ['sim', ...sims.map(({ uniqueName }) => uniqueName), ''].join('\n'));
  return { list, state: join(folder, 'broadcast.db'), runs: join(folder, 'runs') };
}

export type BroadcastFolder = Awaited<ReturnType<typeof broadcastFolder>>;

export interface BroadcastProcess {
  readonly timeScale: number;
  readonly args: readonly string[];
  /** Default: the loopback's. */
  readonly clientSecret?: string | undefined;
  /** Further variables. */
  readonly env?: NodeJS.ProcessEnv | undefined;
}

/** `supersim broadcast` in a process of its own, that prints JSON. */
export function startBroadcast(loopback: Loopback, { timeScale, args, clientSecret, env }: BroadcastProcess): Running {
  return startProcess(process.execPath, [builtProgram('broadcast'), 'broadcast', '--json', ...args], {
    PATH: process.env['PATH'],
    TIME_SCALE: `${timeScale}`,
    SUPERSIM_API_URL: loopback.url,
    SUPERSIM_CLIENT_ID: loopback.clientId,
    SUPERSIM_CLIENT_SECRET: clientSecret ?? loopback.clientSecret,
    ...env,
  });
}

const resultSchema = z.object({
  sim: z.string(),
  outcome: z.enum(OUTCOMES),
  code: z.string().nullable(),
  message: z.string().nullable(),
  result: z.unknown().optional(),
  attempts: z.number(),
});

/** The results that a process printed. */
export const resultsIn = (output: string) =>
  output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => resultSchema.parse(JSON.parse(line)));

/**
 * What is not true of a table of outcomes: SIMs that are not in it once, more runs than one, outcomes that are not what
 * the handlers wrote down.
 */
export function untruthsOf({ sims }: Loopback, results: ReturnType<typeof resultsIn>, runsFile: string): string[] {
  const runs = readRuns(runsFile);
  const untruths: string[] = [];
  const rows = new Map<string, number>();
  for (const { sim, outcome, result } of results) {
    rows.set(sim, (rows.get(sim) ?? 0) + 1);
    const words = runs.get(sim) ?? [];
    if (outcome === 'done' && words[0] !== result) untruths.push(`${sim} is told ${result}, and ran as ${words}`);
    if ((outcome === 'not-sent' || outcome === 'refused') && words.length > 0) untruths.push(`${sim} ran: ${outcome}`);
    if (outcome === 'failed' || outcome === 'interrupted') untruths.push(`${sim} cannot be ${outcome}`);
  }
  for (const { uniqueName } of sims)
    if (rows.get(uniqueName) !== 1) untruths.push(`${uniqueName}: ${rows.get(uniqueName)} outcomes`);
  for (const [sim, words] of runs) if (words.length > 1) untruths.push(`${sim} ran ${words.length} times`);
  if (rows.size !== sims.length) untruths.push(`${rows.size} SIMs of ${sims.length}`);
  return untruths;
}

/** The share of the results that are `done`. */
export const shareDone = (results: ReturnType<typeof resultsIn>): number =>
  results.filter(({ outcome }) => outcome === 'done').length / results.length;

/** Looks at the memory that a process has for itself until it ends; gives the most, in MiB. */
export async function peakMemory({ pid, ended }: Running): Promise<number> {
  let peak = 0;
  let running = true;
  void ended.then(() => {
    running = false;
  });
  while (running) {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    peak = Math.max(peak, Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024);
    await new Promise((done) => setTimeout(done, 100));
  }
  expect(peak).toBeGreaterThan(0);
  return peak;
}
