/** Measures HTTP servers in turn, so that other work of the machine affects all of them alike. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { cpuSeconds } from '../lib/proc.mjs';
import { takeTurns } from '../lib/rounds.mjs';
import { end, median, track } from '../lib/support.mjs';

const LOAD = fileURLToPath(new URL('http-load.mjs', import.meta.url));
const JOB_GRACE_MS = 10_000;
export const WARM_UP_MS = 3000;
export const ROUNDS = 11;
export const ROUND_MS = 1000;
export const IN_FLIGHT = 32;

/**
 * @typedef {Omit<import('./http-load.mjs').Job, 'inFlight' | 'ms'>} Asked
 * @typedef {{ pid: number, asked: Asked, stop: () => Promise<void> }} Target
 * @typedef {{ perSecond: number, cpuMicroseconds: number, bytes: number }} Round
 */

/**
 * @template {string} Name
 * @param {Record<Name, Target>} targets
 * @returns {Promise<Record<Name, Round>[]>}
 */
export async function measureInTurn(targets) {
  const names = /** @type {Name[]} */ (Object.keys(targets));
  const load = fork(LOAD);
  track(load);

  /** @type {(target: Target, ms: number) => Promise<Round>} */
  const measure = async ({ pid, asked }, ms) => {
    const before = cpuSeconds(pid);
    load.send({ ...asked, inFlight: IN_FLIGHT, ms });
    const [result] = await once(load, 'message', { signal: AbortSignal.timeout(ms + JOB_GRACE_MS) });
    return { ...result, cpuMicroseconds: ((cpuSeconds(pid) - before) / result.requests) * 1e6 };
  };

  const rounds = await takeTurns(targets, measure, { count: ROUNDS, ms: ROUND_MS, warmUpMs: WARM_UP_MS });
  await end(load);
  for (const name of names) {
    const of = (/** @type {keyof Round} */ key) => median(rounds.map((round) => round[name][key])).toFixed(0);
    console.log(
      `  ${name}: ${of('perSecond')}/s, ${of('cpuMicroseconds')} µs of CPU each, answers of ${of('bytes')} bytes`,
    );
  }
  return rounds;
}
