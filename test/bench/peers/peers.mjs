import { memoryKiB } from '../lib/proc.mjs';
import { measureInTurn, ratios } from '../lib/rounds.mjs';
import { atLeast, atMost, median, startAgent, startCoapPackage, startEcho, unbounded } from '../lib/support.mjs';
import { findTool, startBroker, startLibcoap, startMqttDevice } from './servers.mjs';

const ROUNDS = 15;
const ROUND_MS = 700;
/** A round is one endpoint's, and ends before its 65,536 message IDs do. */
const ROUND_COMMANDS = 60_000;
const IN_FLIGHT = 64;
const KIB_PER_MIB = 1024;

export const title = 'The agent and its peers';
export const method = `one load generator in a process of its own keeps ${IN_FLIGHT} commands on their way to each server in turn, ${ROUNDS} rounds of ${ROUND_MS / 1000} s each, after 2 s that are not counted; agent with log level warn; user and system time of the servers' processes, and VmRSS right after the last round, from /proc; medians, the ratios taken round by round. CoAP: the same confirmable POSTs to \`/ping\` without a payload, at most ${ROUND_COMMANDS.toLocaleString('en')} a round, to the agent, to a server made with the npm package \`coap\`, to libcoap's example server \`coap-server-notls -d 1\`, where \`/ping\` is a resource made by an earlier POST, and to a bare \`node:dgram\` echo; the agent and the package answer with the payload \`pong\`, libcoap with 2.04 and none, and the load generator takes about as long for a request as libcoap and the echo do. MQTT: \`#N ping\` and \`#N ok pong\` through Debian's \`mosquitto\`, without persistence or limits of what is on its way, TCP as each program has it by default, to a device that uses the npm package \`mqtt\` and back, with QoS 0 or 1 both ways, against the same text as a datagram to the agent; the load generator speaks MQTT by a few lines of its own; the CPU time is the device's and the broker's`;

/**
 * @typedef {Record<string, import('../lib/support.mjs').Measured>} Servers
 * @typedef {Record<string, import('../lib/rounds.mjs').Round>[]} Rounds
 */

export async function run() {
  return [...(await coap()), ...(await mqtt())];
}

async function coap() {
  const program = findTool('coap-server-notls', 'libcoap3-bin');
  /** @type {Servers} */
  const servers = {
    echo: await startEcho(),
    agent: await startAgent({ level: 'warn' }),
    package: await startCoapPackage(),
    ...(program !== undefined && { libcoap: await startLibcoap(program) }),
  };
  const { rounds, memory } = await measure(servers, 'coap', ROUND_COMMANDS);
  const what = `CoAP round trips with ${IN_FLIGHT} in flight, log level warn,`;
  const findings = [
    atLeast(`${what} against the package \`coap\``, median(ratios(rounds, 'agent', 'package')), 2, times),
    atLeast(
      'CPU time of such a round trip by the package `coap`, against the agent’s',
      median(ratios(rounds, 'package', 'agent', 'cpuMicroseconds')),
      3,
      times,
    ),
  ];
  if (program !== undefined) {
    ratios(rounds, 'agent', 'libcoap', 'cpuMicroseconds');
    findings.push(
      atMost(
        'such round trips by libcoap’s server, against the agent’s',
        median(ratios(rounds, 'libcoap', 'agent')),
        1.6,
        times,
      ),
    );
  }
  findings.push(unbounded('CPU time of a CoAP round trip', cpuTimes(rounds)), unbounded('RSS after them', memory));
  return findings;
}

async function mqtt() {
  const program = findTool('mosquitto', 'mosquitto');
  if (program === undefined) return [];
  const broker = await startBroker(program);
  /** @type {Servers} */
  const servers = {
    agent: await startAgent({ level: 'warn' }),
    'QoS 0': await startMqttDevice(broker, 0),
    'QoS 1': await startMqttDevice(broker, 1),
  };
  const { rounds } = await measure(servers, 'text');
  await broker.stop();
  const what = `round trips of a text command with ${IN_FLIGHT} in flight, log level warn, against MQTT with`;
  return [
    atLeast(`${what} QoS 0`, median(ratios(rounds, 'agent', 'QoS 0')), 2, times),
    atLeast(`${what} QoS 1`, median(ratios(rounds, 'agent', 'QoS 1')), 3, times),
    unbounded('CPU time of such a round trip, the broker’s included', cpuTimes(rounds)),
  ];
}

/**
 * Measures the servers in turn, and stops them.
 *
 * @param {Servers} servers
 * @param {'coap' | 'text'} format
 * @param {number} [commands] the most in a round
 */
async function measure(servers, format, commands) {
  const load = { format, inFlight: IN_FLIGHT, ms: ROUND_MS, ...(commands !== undefined && { commands }) };
  const before = memoryOf(servers);
  const rounds = await measureInTurn(servers, ROUNDS, load);
  const after = memoryOf(servers);
  const names = Object.keys(servers);
  for (const name of names) {
    const count = rounds.reduce((sum, round) => sum + (round[name]?.commands ?? 0), 0);
    const [first, last] = [before, after].map((memory) => memory[name]?.toFixed(1));
    console.log(
      `  RSS of ${name}: ${first} MiB at first, ${last} MiB after ${count} commands and those of the warm-up`,
    );
  }
  for (const server of Object.values(servers)) await server.stop();
  return { rounds, memory: names.map((name) => `${name} ${after[name]?.toFixed(0)} MiB`).join(', ') };
}

/** @param {Servers} servers */
const memoryOf = (servers) =>
  Object.fromEntries(
    Object.entries(servers).map(([name, { pid, beside = [] }]) => [
      name,
      [pid, ...beside].reduce((sum, each) => sum + memoryKiB(each, 'VmRSS'), 0) / KIB_PER_MIB,
    ]),
  );

/** The medians of the CPU time, server by server. @param {Rounds} rounds */
const cpuTimes = (rounds) =>
  Object.keys(rounds[0] ?? {})
    .map((name) => `${name} ${median(rounds.map((round) => round[name]?.cpuMicroseconds ?? Number.NaN)).toFixed(1)} µs`)
    .join(', ');

/** @param {number} ratio */
const times = (ratio) => `${ratio.toFixed(2)} ×`;
