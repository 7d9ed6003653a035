import { diskName, freshFolder, LOST_AFTER_MS, startJournalAgent } from './journal-agent.mjs';
import { atMost, median, rest, startEcho, startLoad } from './support.mjs';

const ROUNDS = 9;
/** The bound of p99 in milliseconds, by the number of journalled commands in flight. */
const BOUNDS = new Map([
  [64, 2],
  [256, 4],
]);
const PINGS_PER_SECOND = 200;
const PING_MS = 1000;
/** More than the default: commands in flight and pings may wait together. */
const WAITING = 1024;
/** Between the beginning of the load and of the pings, and at the end between theirs. */
const MARGIN_MS = 200;

export const title = 'A `ping` beside journalled commands';
export const method = `text \`ping\` ${PINGS_PER_SECOND} times a second for ${PING_MS / 1000} s from a process and a port of its own, while a load generator in another keeps ${[...BOUNDS.keys()].join(' or ')} journalled JSON-RPC commands on their way; log level warn, room for ${WAITING} commands that wait; ${ROUNDS} rounds with a fresh agent and a fresh database each; medians over the rounds. What the pinger measures of a bare echo without any load is printed beside it`;

const milliseconds = (/** @type {number} */ ms) => `${ms.toFixed(2)} ms`;

export async function run() {
  const disk = diskName();
  const pinger = startLoad();
  const ping = (/** @type {import('./support.mjs').Server} */ { address, port }) =>
    pinger.run({ kind: 'paced', format: 'text', perSecond: PINGS_PER_SECOND, ms: PING_MS, address, port });

  async function alone() {
    const echo = await startEcho();
    const result = await ping(echo);
    await echo.stop();
    return result;
  }

  /** @param {number} inFlight */
  async function besideCommands(inFlight) {
    const agent = await startJournalAgent(freshFolder('state'), { limits: { waiting: WAITING } });
    const load = startLoad();
    const { address, port } = agent;
    const ms = PING_MS + 2 * MARGIN_MS;
    const job = /** @type {const} */ ({ kind: 'round-trips', format: 'json', lostAfterMs: LOST_AFTER_MS });
    const journalled = load.run({ ...job, inFlight, ms, address, port });
    await rest(MARGIN_MS);
    const pings = await ping(agent);
    const { perSecond, errors } = await journalled;
    if (errors + pings.lost > 0)
      throw new Error(`${errors} commands were answered by an error, ${pings.lost} pings were not answered`);
    await load.stop();
    await agent.stop();
    return { ...pings, perSecond };
  }

  const bare = await alone();
  console.log(`  a bare echo without load: p50 ${milliseconds(bare.p50)}, p99 ${milliseconds(bare.p99)}`);
  const findings = [];
  for (const [inFlight, bound] of BOUNDS) {
    /** @type {Awaited<ReturnType<typeof besideCommands>>[]} */
    const rounds = [];
    for (let round = 0; round < ROUNDS; round++) {
      rounds.push(await besideCommands(inFlight));
    }
    const of = (/** @type {'p50' | 'p99' | 'perSecond'} */ key) => median(rounds.map((round) => round[key]));
    console.log(
      `  beside ${inFlight} in flight, ${of('perSecond').toFixed(0)}/s: p50 ${milliseconds(of('p50'))}, p99 ${milliseconds(of('p99'))} (${rounds.map(({ p99 }) => p99.toFixed(1)).join(' ')})`,
    );
    findings.push(
      atMost(
        `p99 of \`ping\` beside ${inFlight} journalled commands in flight, on ${disk}`,
        of('p99'),
        bound,
        milliseconds,
      ),
    );
  }
  await pinger.stop();
  return findings;
}
