/** How many pings of one address are lost while another floods the agent. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { get } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { freshFolder, startJournalAgent } from '../journal/journal-agent.mjs';
import { cpuSeconds, kernelDrops } from '../lib/proc.mjs';
import { atMost, folder, rest, startLoad, track } from '../lib/support.mjs';

const FLOODER = fileURLToPath(new URL('../../support/flooder.py', import.meta.url));
const FLOOD_ADDRESS = '127.0.0.2';
const OWN_ADDRESS = '127.0.0.3';
const KINDS = ['ping', 'health', 'journalled', 'unknown', 'coap', 'program', 'malformed', 'mixed'];
const FLOOD_PER_SECOND = 60_000;
const PINGS_PER_SECOND = 50;
const PING_MS = 10_000;
/** Between the beginning of the flood and of the pings, and at the end between theirs. */
const MARGIN_MS = 500;
const MOST_LOST_PERCENT = 5;

export const title = 'A flood from one address, and pings from another';
export const method = `${FLOOD_PER_SECOND.toLocaleString('en')} datagrams a second, or as many as the machine can send, from eight ports of ${FLOOD_ADDRESS}, and meanwhile text \`ping\` ${PINGS_PER_SECOND} times a second for ${PING_MS / 1000} s from ${OWN_ADDRESS}; a fresh agent with log level info for each kind of flood: ${KINDS.join(', ')}; a ping that is refused as busy is answered, and counted apart`;

/** @typedef {{ received: number, refusedOverload: number }} Counters */

export async function run() {
  const findings = [];
  const pinger = startLoad();
  for (const kind of KINDS) findings.push(await pingsBeside(kind, pinger));
  await pinger.stop();
  return findings;
}

/** @param {string} kind @param {ReturnType<typeof startLoad>} pinger */
async function pingsBeside(kind, pinger) {
  const control = join(folder, 'control.sock');
  const agent = await startJournalAgent(freshFolder('state'), {
    level: 'info',
    control,
    journal: {},
    handlers: { program: { program: ['/bin/true'] } },
  });
  const { address, port, pid } = agent;
  const seconds = (PING_MS + 2 * MARGIN_MS) / 1000;
  const cpu = cpuSeconds(pid);
  const flooding = flood([FLOOD_ADDRESS, address, port, kind, FLOOD_PER_SECOND, seconds].map(String));
  await rest(MARGIN_MS);
  const format = /** @type {const} */ ('text');
  const job = { from: OWN_ADDRESS, address, port, format, perSecond: PINGS_PER_SECOND, ms: PING_MS };
  const pings = await pinger.run({ ...job, kind: 'paced' });
  const sent = await flooding;
  const used = cpuSeconds(pid) - cpu;
  const { received, refusedOverload } = await countersOf(control);
  const dropped = kernelDrops(port);
  await agent.stop();
  const lost = (100 * pings.lost) / (pings.commands + pings.lost);
  console.log(
    `  ${kind}, ${(sent / seconds).toFixed(0)}/s: ${pings.lost} of ${pings.commands + pings.lost} pings lost, ${pings.errors} refused, p50 ${pings.p50.toFixed(2)} ms, p99 ${pings.p99.toFixed(2)} ms; received ${received}, shed ${refusedOverload}, thrown away by the kernel ${dropped}; ${used.toFixed(1)} s of CPU`,
  );
  return atMost(
    `pings lost beside a flood of ${kind} from another address`,
    lost,
    MOST_LOST_PERCENT,
    (percent) => `${percent.toFixed(1)} %`,
  );
}

/** Floods until the time is over. @param {string[]} args @returns {Promise<number>} how many datagrams were sent */
async function flood(args) {
  const child = spawn('python3', [FLOODER, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  track(child);
  const [printed] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  return Number(printed);
}

/** @param {string} socketPath @returns {Promise<Counters>} */
async function countersOf(socketPath) {
  const [response] = await once(get({ socketPath, path: '/status' }), 'response');
  return JSON.parse(await text(response)).counters;
}
