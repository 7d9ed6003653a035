import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import { promisify } from 'node:util';
import { atMost, median, startLoad } from '../lib/support.mjs';
import { fillJournal } from './fill-journal.mjs';
import { databaseFiles, diskName, freshFolder, REMEMBERING, startJournalAgent } from './journal-agent.mjs';

const RUNS = 9;
/** No more rounds are begun after this time. */
const ENOUGH_MS = 30_000;
/** The bound of the time against an empty journal, by how many commands are remembered. */
const BOUNDS = new Map([
  [10_000, 1.2],
  [1_000_000, 2],
]);

const ONE_COMMAND = /** @type {const} */ ({
  kind: 'round-trips',
  format: 'json',
  inFlight: 1,
  ms: 60_000,
  commands: 1,
});

export const title = 'Cold start with a full journal';
export const method = `from spawning the agent to its line that says it is ready, its database not in the page cache, with ${[...BOUNDS.keys()].map((count) => count.toLocaleString('en')).join(' and ')} commands remembered, \`journal.entries\` ${REMEMBERING.entries.toLocaleString('en')}, against an empty journal; ${RUNS} starts of each, in turn, or as many as there are in ${ENOUGH_MS / 1000} s, after one of each that is not counted; the ratio of the medians`;

export async function run() {
  const disk = diskName();
  const load = startLoad();
  /** @type {{ count: number, state: string, times: number[], loads: number[] }[]} */
  const journals = [];
  for (const count of [0, ...BOUNDS.keys()]) {
    const state = freshFolder(`state-${count}`);
    await fillJournal(state, count);
    journals.push({ count, state, times: [], loads: [] });
  }
  const begun = performance.now();
  for (let round = 0; round <= RUNS; round++) {
    if (round > 1 && performance.now() - begun > ENOUGH_MS) break;
    for (const { state, times, loads } of journals) {
      for (const file of databaseFiles(state)) await dropFromCache(file);
      const agent = await startJournalAgent(state, { journal: REMEMBERING, level: 'info' });
      const begunToLoad = performance.now();
      const { commands } = await load.run({ ...ONE_COMMAND, address: agent.address, port: agent.port });
      if (commands !== 1) throw new Error('the first command was not answered');
      if (round > 0) loads.push(performance.now() - begunToLoad);
      await agent.stop();
      if (round > 0) times.push(agent.startMs);
    }
  }
  await load.stop();
  for (const { count, state, times, loads } of journals) {
    const mebibytes = databaseFiles(state).reduce((sum, file) => sum + statSync(file).size, 0) / 2 ** 20;
    console.log(
      `  ${count.toLocaleString('en')} remembered, ${mebibytes.toFixed(1)} MiB: ${median(times).toFixed(0)} ms (${times.map((ms) => ms.toFixed(0)).join(' ')}); the first journalled command is answered ${median(loads).toFixed(0)} ms later`,
    );
  }
  const medianOf = (/** @type {number} */ count) =>
    median(journals.find((journal) => journal.count === count)?.times ?? []);
  return [...BOUNDS].map(([count, bound]) =>
    atMost(
      `cold start to ready with ${count.toLocaleString('en')} commands remembered, on ${disk}, against an empty journal`,
      medianOf(count) / medianOf(0),
      bound,
      (ratio) => `${ratio.toFixed(2)} ×`,
    ),
  );
}

/**
 * Drops a file's pages from the page cache, as nothing in Node can; the file stays as it is.
 *
 * @param {string} file
 */
const dropFromCache = (file) =>
  promisify(execFile)('dd', [`of=${file}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'if=/dev/null']);
