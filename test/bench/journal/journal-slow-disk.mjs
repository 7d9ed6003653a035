import { atMost, median, rest, startLoad } from '../lib/support.mjs';
import { freshFolder, LOST_AFTER_MS, startJournalAgent } from './journal-agent.mjs';
import { slowDisk } from './slow-disk.mjs';

const ROUNDS = 5;
const PINGS_PER_SECOND = 200;
const PING_MS = 2000;
/** Between the beginning of the load and of the pings, and at the end between theirs. */
const MARGIN_MS = 500;
const BOUND_MS = 5;
/** Of the run without journalled commands. */
const BOUND_RATIO = 2;

/** @typedef {{ what: string, fsyncDelayMs: number, job: { kind: 'round-trips', inFlight: number, lostAfterMs: number } | { kind: 'paced', perSecond: number } }} Case */

/** @type {Case[]} */
const CASES = [
  {
    what: 'each sync slowed by 100 ms, beside 64 journalled commands in flight',
    fsyncDelayMs: 100,
    job: { kind: 'round-trips', inFlight: 64, lostAfterMs: LOST_AFTER_MS },
  },
  {
    what: 'each sync slowed by 300 ms, beside 10 journalled commands a second',
    fsyncDelayMs: 300,
    job: { kind: 'paced', perSecond: 10 },
  },
];

export const title = 'A `ping` on a slow disk';
export const method = `each \`fsync\` below the state folder slowed by a library that is loaded before glibc (test/support/faulty-disk.c); text \`ping\` ${PINGS_PER_SECOND} times a second for ${PING_MS / 1000} s from a process and a port of its own, alone and beside journalled JSON-RPC commands from another, in turn, ${ROUNDS} rounds on one agent; log level warn; medians over the rounds; the bound is ${BOUND_MS} ms, or ${BOUND_RATIO} times what it is alone, whichever is more`;

const milliseconds = (/** @type {number} */ ms) => `${ms.toFixed(2)} ms`;

export async function run() {
  const findings = [];
  for (const each of CASES) findings.push(await measure(each));
  return findings;
}

/** @param {Case} given */
async function measure({ what, fsyncDelayMs, job }) {
  const state = freshFolder('state');
  const disk = await slowDisk(state);
  const { address, port, stop } = await startJournalAgent(state, { env: disk.env });
  disk.set({ fsyncDelayMs });
  const [pinger, load] = [startLoad(), startLoad()];

  const ping = () =>
    pinger.run({ kind: 'paced', format: 'text', perSecond: PINGS_PER_SECOND, ms: PING_MS, address, port });

  async function besideCommands() {
    const ms = PING_MS + 2 * MARGIN_MS;
    const to = /** @type {const} */ ({ format: 'json', ms, address, port });
    const journalled = job.kind === 'paced' ? load.run({ ...job, ...to }) : load.run({ ...job, ...to });
    await rest(MARGIN_MS);
    const pings = await ping();
    const { errors, commands } = await journalled;
    if (errors > 0 || commands === 0) throw new Error(`${errors} of ${commands} commands were answered by an error`);
    return { ...pings, commandsPerSecond: commands / (ms / 1000) };
  }

  const alone = [];
  const beside = [];
  for (let round = 0; round < ROUNDS; round++) {
    alone.push(await ping());
    beside.push(await besideCommands());
    // What was still on its way is done before the next round.
    await rest(4 * fsyncDelayMs);
  }
  for (const one of [pinger, load]) await one.stop();
  disk.set({ fsyncDelayMs: 0 });
  await stop();

  /** @param {{ p50: number, p99: number, lost: number }[]} rounds */
  const show = (rounds) =>
    `p50 ${milliseconds(median(rounds.map(({ p50 }) => p50)))}, p99 ${milliseconds(median(rounds.map(({ p99 }) => p99)))} (${rounds.map(({ p99 }) => p99.toFixed(1)).join(' ')}), ${rounds.reduce((sum, { lost }) => sum + lost, 0)} lost`;
  const rate = median(beside.map(({ commandsPerSecond }) => commandsPerSecond)).toFixed(0);
  console.log(
    `  syncs slowed by ${fsyncDelayMs} ms, alone: ${show(alone)}; beside ${rate} commands/s: ${show(beside)}`,
  );
  const p99Alone = median(alone.map(({ p99 }) => p99));
  const bound = Math.max(BOUND_MS, BOUND_RATIO * p99Alone);
  return atMost(`p99 of \`ping\`, ${what}`, median(beside.map(({ p99 }) => p99)), bound, milliseconds);
}
