import { atMost, median, rest, startEcho, startLoad } from '../lib/support.mjs';
import { diskName, freshFolder, LOST_AFTER_MS, sendWork, startJournalAgent } from './journal-agent.mjs';

const ROUNDS = 9;
/** The bound of p99 in milliseconds, by the number of journalled commands in flight. */
const BOUNDS = new Map([
  [64, 2],
  [256, 4],
]);
/** Commands before the measurement: until then V8 still compiles what runs often. */
const WARM_UP = 20_000;
const PINGS_PER_SECOND = 200;
const PING_MS = 1000;
/** More than the default: commands in flight and pings may wait together. */
const WAITING = 1024;
/** The machine itself may keep a datagram for longer than the bounds say: then it counts against a bare echo. */
const TIMES_ECHO = 2;
/** Between the beginning of the load and of the pings, and at the end between theirs. */
const MARGIN_MS = 200;

export const title = 'A `ping` beside journalled commands';
export const method = `text \`ping\` ${PINGS_PER_SECOND} times a second for ${PING_MS / 1000} s from a process and a port of its own, while a load generator in another keeps ${[...BOUNDS.keys()].join(' or ')} journalled JSON-RPC commands on their way; after ${WARM_UP.toLocaleString('en')} such commands; log level warn, room for ${WAITING} commands that wait; ${ROUNDS} rounds with a fresh agent and a fresh database each; medians over the rounds; the bound is ${[...BOUNDS.values()].join(' or ')} ms, or ${TIMES_ECHO} times what the pinger then measures of a bare echo beside the same load, whichever is more`;

const milliseconds = (/** @type {number} */ ms) => `${ms.toFixed(2)} ms`;

export async function run() {
  const disk = diskName();
  const pinger = startLoad();
  const ping = (/** @type {import('../lib/support.mjs').Server} */ { address, port }) =>
    pinger.run({ kind: 'paced', format: 'text', perSecond: PINGS_PER_SECOND, ms: PING_MS, address, port });

  /** @param {number} inFlight */
  async function besideCommands(inFlight) {
    const echo = await startEcho();
    const agent = await startJournalAgent(freshFolder('state'), { limits: { waiting: WAITING } });
    const load = startLoad();
    const { address, port } = agent;
    await sendWork(load, agent, WARM_UP, inFlight);
    const ms = 2 * PING_MS + 3 * MARGIN_MS;
    const job = /** @type {const} */ ({ kind: 'round-trips', format: 'json', lostAfterMs: LOST_AFTER_MS });
    const journalled = load.run({ ...job, inFlight, ms, address, port });
    await rest(MARGIN_MS);
    const pings = await ping(agent);
    await rest(MARGIN_MS);
    const echoed = await ping(echo);
    const { perSecond, errors } = await journalled;
    if (errors + pings.lost > 0)
      throw new Error(`${errors} commands were answered by an error, ${pings.lost} pings were not answered`);
    await load.stop();
    await agent.stop();
    await echo.stop();
    return { ...pings, perSecond, echoP99: echoed.p99 };
  }

  const findings = [];
  for (const [inFlight, bound] of BOUNDS) {
    /** @type {Awaited<ReturnType<typeof besideCommands>>[]} */
    const rounds = [];
    for (let round = 0; round < ROUNDS; round++) {
      rounds.push(await besideCommands(inFlight));
    }
    const of = (/** @type {'p50' | 'p99' | 'perSecond' | 'echoP99'} */ key) =>
      median(rounds.map((round) => round[key]));
    console.log(
      `  beside ${inFlight} in flight, ${of('perSecond').toFixed(0)}/s: p50 ${milliseconds(of('p50'))}, p99 ${milliseconds(of('p99'))} (${rounds.map(({ p99 }) => p99.toFixed(1)).join(' ')})`,
    );
    console.log(`  a bare echo beside the same load: p99 ${milliseconds(of('echoP99'))}`);
    findings.push(
      atMost(
        `p99 of \`ping\` beside ${inFlight} journalled commands in flight, on ${disk}`,
        of('p99'),
        Math.max(bound, TIMES_ECHO * of('echoP99')),
        milliseconds,
      ),
    );
  }
  await pinger.stop();
  return findings;
}
