import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { cpuSeconds } from '../lib/proc.mjs';
import { atLeast, median, startAgent, startEcho, track } from '../lib/support.mjs';

const GENERATOR = fileURLToPath(new URL('many-peers.py', import.meta.url));
const MANY = 10_000;
const IN_FLIGHT = 64;
const ROUNDS = 11;
/** Of a round with many or with one; until then V8 still compiles what runs often. */
const WARM_UP = 60_000;
const COMMANDS = 30_000;
const FORMATS = /** @type {const} */ ({ text: 'text `ping`', coap: 'CoAP POST' });

export const title = 'Many peers';
export const method = `a load generator keeps ${IN_FLIGHT} commands on their way, text \`ping\` or CoAP POST to \`/ping\`, from ${MANY.toLocaleString('en')} addresses from 127.16.0.1 on, each with one at a time, or from one address, to the agent with log level warn, in turn, ${ROUNDS} rounds of ${COMMANDS.toLocaleString('en')} commands each, after ${WARM_UP.toLocaleString('en')} of each that are not counted; user and system time of the agent from /proc for each command; the ratio taken round by round, its median. Divided by the same of a bare \`node:dgram\` echo, which shows what is the kernel's and Node's`;

/** @typedef {{ many: number, one: number }} Round CPU time of a command, in microseconds */

export async function run() {
  const agent = await startAgent({ level: 'warn' });
  const echo = await startEcho();
  const findings = [];
  for (const format of /** @type {const} */ (['text', 'coap'])) {
    const what = FORMATS[format];
    const rounds = await measureInTurn({ echo, agent }, format);
    const bare = report(`${what}, echo`, rounds.echo);
    findings.push(
      atLeast(
        `CPU time of a ${what} of one peer, against that with ${MANY.toLocaleString('en')} peers, against the same of an echo`,
        report(`${what}, agent`, rounds.agent) / bare,
        0.95,
        (ratio) => ratio.toFixed(2),
      ),
    );
  }
  for (const server of [agent, echo]) await server.stop();
  return findings;
}

/**
 * @param {Record<'agent' | 'echo', import('../lib/support.mjs').Server>} servers
 * @param {keyof typeof FORMATS} format
 */
async function measureInTurn({ echo, agent }, format) {
  const loads = { echo: startPeers(echo, format), agent: startPeers(agent, format) };
  /** @type {Record<keyof typeof loads, Round[]>} */
  const rounds = { echo: [], agent: [] };
  for (let round = 0; round <= ROUNDS; round++) {
    const commands = round === 0 ? WARM_UP : COMMANDS;
    for (const name of /** @type {const} */ (['echo', 'agent'])) {
      const many = await loads[name].cpuMicroseconds(MANY, commands);
      const one = await loads[name].cpuMicroseconds(1, commands);
      if (round > 0) rounds[name].push({ many, one });
    }
  }
  for (const load of Object.values(loads)) await load.stop();
  return rounds;
}

/** @param {import('../lib/support.mjs').Server} server @param {keyof typeof FORMATS} format */
function startPeers({ address, port, pid }, format) {
  const args = [GENERATOR, address, port, IN_FLIGHT].map(String);
  const child = spawn('python3', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  track(child);
  const lines = createInterface(child.stdout);

  return {
    /** Measures the server while so many peers send commands. @param {number} peers @param {number} commands */
    async cpuMicroseconds(peers, commands) {
      const before = cpuSeconds(pid);
      child.stdin.write(`${peers} ${commands} ${format}\n`);
      const [line] = await once(lines, 'line');
      const [answered, lost] = String(line).split(' ').map(Number);
      if (answered !== commands)
        throw new Error(`${answered} of ${commands} commands were answered, ${lost} were lost`);
      return ((cpuSeconds(pid) - before) / commands) * 1e6;
    },
    async stop() {
      child.stdin.end();
      await once(child, 'exit');
    },
  };
}

/** Prints the rounds, and returns the median of their ratios. @param {string} what @param {Round[]} rounds */
function report(what, rounds) {
  const of = (/** @type {keyof Round} */ key) => median(rounds.map((round) => round[key])).toFixed(1);
  const ratios = rounds.map(({ many, one }) => one / many);
  console.log(
    `  ${what}: ${of('many')} µs of CPU with ${MANY} peers, ${of('one')} µs with one; one/many by round: ${ratios.map((ratio) => ratio.toFixed(2)).join(' ')}; median ${median(ratios).toFixed(2)}`,
  );
  return median(ratios);
}
