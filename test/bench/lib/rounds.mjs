/** Measures servers in turn with the same load, so that other work of the machine affects all of them alike. */
import { cpuSeconds } from './proc.mjs';
import { median, startLoad } from './support.mjs';

const WARM_UP_MS = 2000;

/**
 * @typedef {Pick<import('./load.mjs').RoundTripJob, 'format' | 'inFlight' | 'ms' | 'commands'>} Load
 * @typedef {import('./support.mjs').Measured & Partial<Pick<Load, 'format'>>} Target with a format, if it is not the load's
 * @typedef {{ perSecond: number, commands: number, p50: number, p99: number, lost: number, cpuMicroseconds: number, loadMicroseconds: number }} Round
 */

/**
 * @template {string} Name
 * @param {Record<Name, Target>} servers
 * @param {number} count of rounds
 * @param {Load} load of one server in one round
 * @returns {Promise<Record<Name, Round>[]>}
 */
export async function measureInTurn(servers, count, load) {
  const names = /** @type {Name[]} */ (Object.keys(servers));
  const generator = startLoad();

  /** @type {(server: Target, ms: number) => Promise<Round>} */
  const measure = async ({ address, port, pid, beside = [], topics, format = load.format }, ms) => {
    const spent = () => [[pid, ...beside], [generator.pid]].map(sumOfCpuSeconds);
    const before = spent();
    const job = { ...load, format, address, port, ms, ...(topics && { topics }) };
    const result = await generator.run({ ...job, kind: 'round-trips' });
    if (result.errors > 0) throw new Error(`${result.errors} of ${result.commands} commands were answered by an error`);
    const [cpuMicroseconds = 0, loadMicroseconds = 0] = spent().map(
      (seconds, index) => ((seconds - (before[index] ?? 0)) / result.commands) * 1e6,
    );
    return { ...result, cpuMicroseconds, loadMicroseconds };
  };

  const rounds = await takeTurns(servers, measure, { count, ms: load.ms, warmUpMs: WARM_UP_MS });
  await generator.stop();
  for (const name of names) {
    const of = (/** @type {keyof Round} */ key) => median(rounds.map((round) => round[name][key]));
    const lost = rounds.reduce((sum, round) => sum + round[name].lost, 0);
    console.log(
      `  ${load.inFlight} in flight, ${name}: ${of('perSecond').toFixed(0)}/s, p50 ${of('p50').toFixed(3)} ms, p99 ${of('p99').toFixed(3)} ms, ${of('cpuMicroseconds').toFixed(1)} µs of CPU each (the load generator ${of('loadMicroseconds').toFixed(1)} µs), ${lost} lost`,
    );
  }
  return rounds;
}

/** @param {readonly number[]} pids */
const sumOfCpuSeconds = (pids) => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);

/**
 * Measures each target once for a warm-up, which is not counted, and then each in turn, so many rounds.
 *
 * @template {string} Name
 * @template Target
 * @template Round
 * @param {Record<Name, Target>} targets
 * @param {(target: Target, ms: number) => Promise<Round>} measure
 * @param {{ count: number, ms: number, warmUpMs: number }} times
 * @returns {Promise<Record<Name, Round>[]>}
 */
export async function takeTurns(targets, measure, { count, ms, warmUpMs }) {
  const names = /** @type {Name[]} */ (Object.keys(targets));
  for (const name of names) await measure(targets[name], warmUpMs);
  /** @type {Record<Name, Round>[]} */
  const rounds = [];
  for (let round = 0; round < count; round++) {
    const each = /** @type {Record<Name, Round>} */ ({});
    for (const name of names) each[name] = await measure(targets[name], ms);
    rounds.push(each);
  }
  return rounds;
}

/**
 * Returns the rate of one server against another's, or another of their figures, round by round.
 *
 * @template {string} Name
 * @param {Record<Name, Pick<Round, 'perSecond' | 'cpuMicroseconds'>>[]} rounds
 * @param {Name} name
 * @param {Name} other
 * @param {'perSecond' | 'cpuMicroseconds'} [figure]
 */
export function ratios(rounds, name, other, figure = 'perSecond') {
  const each = rounds.map((round) => round[name][figure] / round[other][figure]);
  const what = figure === 'perSecond' ? 'rate' : 'CPU time';
  console.log(`  ${what} of ${name}/${other} by round: ${each.map((ratio) => ratio.toFixed(2)).join(' ')}`);
  return each;
}
