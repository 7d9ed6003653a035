import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { atLeast, atMost, end, folder, median, track } from '../lib/support.mjs';

const PROGRAM = fileURLToPath(new URL('../../../dist/bin/supersim.js', import.meta.url));
const NETWORK = fileURLToPath(new URL('network.mjs', import.meta.url));
const MOST_SIMS = 10_000;
/** File descriptors of the network's process beside a socket for each device; 256 connections of the program are among them. */
const OTHER_DESCRIPTORS = 400;
const ROUNDS = 3;
const RUN_TIMEOUT_MS = 180_000;
const ANSWER_TIMEOUT_MS = 60_000;
const DELAY = '200ms';
const CONCURRENCY = 1000;

export const title = 'The program `supersim broadcast`';
export const method = `${MOST_SIMS.toLocaleString('en')} SIMs of a loopback, or as many as the process may have file descriptors, each with a device that answers at once, loopback and devices in a process of their own. \`supersim broadcast ping --file LIST\`, the other flags left as they are by default, and \`--fleet fleet-1 --concurrency ${CONCURRENCY}\` while the API takes ${DELAY} longer for each request, in turn, ${ROUNDS} rounds, after one of the first that is not counted; SIMs against the time from spawning the program to its end, and the requests that the loopback counts; medians`;

/** @typedef {{ perSecond: number, requests: number }} Result */

export async function run() {
  const count = Math.min(MOST_SIMS, mostFiles() - OTHER_DESCRIPTORS);
  if (count < MOST_SIMS) {
    console.log(`  only ${count} SIMs: ulimit -n ${MOST_SIMS + OTHER_DESCRIPTORS} for ${MOST_SIMS}`);
  }
  const { network, env, list } = await startNetwork(count);

  /** Runs the program, and measures it. @param {string} delay @param {string[]} flags @returns {Promise<Result>} */
  async function measure(delay, flags) {
    await setFaults(network, { delay });
    const ms = await broadcast(env, flags);
    const { requests } = await setFaults(network, {});
    return { perSecond: count / (ms / 1000), requests: requests / count };
  }

  const byFile = ['--file', list];
  const byFleet = ['--fleet', 'fleet-1', '--concurrency', String(CONCURRENCY)];
  await measure('0ms', byFile);
  /** @type {Result[]} */
  const atOnce = [];
  /** @type {Result[]} */
  const delayed = [];
  for (let round = 0; round < ROUNDS; round++) {
    atOnce.push(await measure('0ms', byFile));
    delayed.push(await measure(DELAY, byFleet));
  }
  await end(network);

  print('by list', atOnce);
  print(`by Fleet, ${DELAY} for each request`, delayed);
  const perSecond = (/** @type {number} */ rate) => `${rate.toFixed(0)}/s`;
  const sims = `${count.toLocaleString('en')} SIMs`;
  return [
    atLeast(
      `\`supersim broadcast --file\` to ${sims}, from start to end`,
      median(atOnce.map((each) => each.perSecond)),
      1000,
      perSecond,
    ),
    atMost('API requests for a SIM by it', median(atOnce.map(({ requests }) => requests)), 1.1, (each) =>
      each.toFixed(3),
    ),
    atLeast(
      `\`supersim broadcast --fleet --concurrency ${CONCURRENCY}\` to ${sims}, ${DELAY} for each request`,
      median(delayed.map((each) => each.perSecond)),
      400,
      perSecond,
    ),
  ];
}

/** How many files a process may have open: Node raises its limit as far as it may. */
function mostFiles() {
  const [, soft = ''] = /^Max open files\s+(\w+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
}

/** @param {number} count of SIMs */
async function startNetwork(count) {
  const network = fork(NETWORK, [String(count)]);
  track(network);
  const [{ url, accountSid, authToken, names }] = await once(network, 'message', {
    signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
  });
  const home = join(folder, 'home');
  mkdirSync(home);
  const list = join(folder, 'sims.csv');
  writeFileSync(list, `${names.join('\n')}\n`);
  const env = { HOME: home, SUPERSIM_API_URL: url, SUPERSIM_ACCOUNT_SID: accountSid, SUPERSIM_AUTH_TOKEN: authToken };
  return { network, env, list };
}

/**
 * Sets the faults of the API, and returns how many requests there were since the last were set.
 *
 * @param {import('node:child_process').ChildProcess} network
 * @param {import('../../../loopback/index.js').ApiFaultsInput} faults
 * @returns {Promise<{ requests: number }>}
 */
async function setFaults(network, faults) {
  network.send(faults);
  const [answer] = await once(network, 'message', { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
  return answer;
}

/** The number of the next broadcast's file. */
let nextFile = 1;

/**
 * Runs the program until all SIMs are done.
 *
 * @param {Record<string, string>} env
 * @param {string[]} flags
 * @returns {Promise<number>} its time in milliseconds
 */
async function broadcast(env, flags) {
  const state = join(folder, `broadcast-${nextFile++}.db`);
  const begun = performance.now();
  const child = spawn(process.execPath, [PROGRAM, 'broadcast', 'ping', ...flags, '--state', state], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: RUN_TIMEOUT_MS,
  });
  track(child);
  child.stdout.resume();
  const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  const ms = performance.now() - begun;
  if (code !== 0) throw new Error(`supersim broadcast ended with ${code}: ${said.slice(-500)}`);
  return ms;
}

/** @param {string} what @param {Result[]} results */
function print(what, results) {
  const rates = results.map(({ perSecond }) => perSecond.toFixed(0)).join(' ');
  const requests = results.map((result) => result.requests.toFixed(3)).join(' ');
  console.log(`  ${what}: ${rates} SIMs/s, ${requests} requests each`);
}
