import { join } from 'node:path';
import { cpuSeconds } from '../lib/proc.mjs';
import { atLeast, median, rest, startCommitEcho, startLoad } from '../lib/support.mjs';
import { diskName, freshFolder, readRows, sendWork, startJournalAgent } from './journal-agent.mjs';

const ROUNDS = 5;
/** Not counted: until then V8 still compiles what runs often. */
const WARM_UP = 20_000;
const COMMANDS = 30_000;
const IN_FLIGHT = [64, 256];
const GOAL = 0.75;
/** After this time the agent whose rows are looked at is killed. */
const LOOK_AFTER_MS = 1000;

const NAMES = { agent: 'agent', unjournalled: 'agent, a handler that may run twice', echo: 'echo' };

export const title = 'Journalled commands';
export const method = `${COMMANDS.toLocaleString('en')} JSON-RPC commands, after ${WARM_UP.toLocaleString('en')} that are not counted, each with an id of its own, to a handler that is not idempotent and returns a word; log level warn, ${IN_FLIGHT.join(' or ')} on their way; against a bare UDP echo that for each datagram commits a row of the same lengths, with the same settings of SQLite, in groups in its own process: what came in a turn of its event loop is inserted as started in one commit, updated to done in the next, and answered; ${ROUNDS} rounds of each, in turn, each with a fresh process and a fresh database; medians, the ratio taken round by round. Beside it stands what the agent takes for the same commands to a handler that may run twice, for which nothing is written. The lengths are those in the database of an agent that was killed while it worked. That every command lies in the agent's database as done is checked after each round`;

/** @typedef {{ record: number, started: number, done: number }} Lengths */

export async function run() {
  const disk = diskName();
  const findings = [];
  for (const inFlight of IN_FLIGHT) {
    const lengths = await rowLengths(inFlight);
    const { record, started, done } = lengths;
    console.log(`  on ${disk}; a row has ${record} bytes, and ${started} when started or ${done} when done`);
    /** @typedef {Awaited<ReturnType<typeof measure>>} Measured */
    /** @type {Record<'agent' | 'unjournalled' | 'echo', Measured>[]} */
    const rounds = [];
    for (let round = 0; round < ROUNDS; round++) {
      rounds.push({
        agent: await journalled(inFlight),
        unjournalled: await measure(await startJournalAgent(freshFolder('state'), { idempotent: true }), inFlight),
        echo: await echoed(inFlight, lengths),
      });
    }
    for (const name of /** @type {const} */ (['agent', 'unjournalled', 'echo'])) {
      const of = (/** @type {keyof Measured} */ key) => median(rounds.map((round) => round[name][key]));
      console.log(
        `  ${inFlight} in flight, ${NAMES[name]}: ${of('perSecond').toFixed(0)}/s, p50 ${of('p50').toFixed(2)} ms, p99 ${of('p99').toFixed(2)} ms, ${of('cpuMicroseconds').toFixed(0)} µs of CPU each`,
      );
    }
    const each = rounds.map(({ agent, echo }) => agent.perSecond / echo.perSecond);
    console.log(`  agent/echo by round: ${each.map((ratio) => ratio.toFixed(2)).join(' ')}`);
    findings.push(
      atLeast(
        `journalled commands with ${inFlight} in flight, on ${disk}, against a UDP echo that commits the same rows in groups`,
        median(each),
        GOAL,
        (ratio) => ratio.toFixed(2),
      ),
    );
  }
  return findings;
}

/**
 * Sends journalled commands to a fresh agent with a fresh state folder.
 *
 * @param {number} inFlight
 * @param {string} [program] of another build
 */
export async function journalled(inFlight, program) {
  const state = freshFolder('state');
  const figures = await measure(await startJournalAgent(state, { program }), inFlight);
  const rows = readRows(state);
  if (rows.count !== WARM_UP + COMMANDS || rows.live > 0)
    throw new Error(`the journal has ${rows.count} commands, ${rows.live} of which have not ended`);
  return figures;
}

/** @param {number} inFlight @param {Lengths} lengths */
const echoed = async (inFlight, { record, started, done }) =>
  measure(await startCommitEcho(freshFolder('echo'), [record, started, done]), inFlight);

/** @param {import('../lib/support.mjs').Server} server @param {number} inFlight */
async function measure(server, inFlight) {
  const load = startLoad();
  await sendWork(load, server, WARM_UP, inFlight);
  const before = cpuSeconds(server.pid);
  const { perSecond, p50, p99 } = await sendWork(load, server, COMMANDS, inFlight);
  const cpuMicroseconds = ((cpuSeconds(server.pid) - before) / COMMANDS) * 1e6;
  await load.stop();
  await server.stop();
  return { perSecond, p50, p99, cpuMicroseconds };
}

/**
 * Returns the lengths of an agent's rows: it is killed while it works, so that there are some that have not ended.
 *
 * @param {number} inFlight
 * @returns {Promise<Lengths>}
 */
async function rowLengths(inFlight) {
  const state = freshFolder('state');
  const agent = await startJournalAgent(state);
  const load = startLoad();
  const { address, port } = agent;
  const sent = load.run({ kind: 'round-trips', format: 'json', inFlight, address, port, ms: 2 * LOOK_AFTER_MS });
  await rest(LOOK_AFTER_MS);
  process.kill(agent.pid, 'SIGKILL');
  await sent;
  await load.stop();
  await agent.stop();
  const [ended, live] = [readRows(state, 'live = 0'), readRows(state, 'live = 1')];
  if (ended.count === 0) throw new Error(`no command has ended in ${join(state)}`);
  const started = live.count > 0 ? live.progress : ended.progress;
  return { record: Math.round(ended.record), started: Math.round(started), done: Math.round(ended.progress) };
}
