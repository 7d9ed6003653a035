import { measureInTurn } from '../lib/rounds.mjs';
import { atMost, median, startAgent } from '../lib/support.mjs';

const HANDLERS = 1000;
const ROUNDS = 9;
const ROUND_MS = 700;
/** A round of CoAP is one endpoint's, and ends before its 65,536 message IDs do. */
const ROUND_COMMANDS = 60_000;
const IN_FLIGHT = 64;
const BOUND_MICROSECONDS = 50;
/** Each list, and a `ping` in its format. */
const LISTS = /** @type {const} */ ([
  { list: 'commandsText', ping: 'text', what: '`commands` as text' },
  { list: 'commandsJson', ping: 'pingJson', what: '`commands` as JSON' },
  { list: 'coapDiscovery', ping: 'coap', what: 'CoAP GET /.well-known/core' },
]);

export const title = 'Lists of many handlers';
export const method = `a load generator in a process of its own keeps ${IN_FLIGHT} requests on their way to an agent with ${HANDLERS.toLocaleString('en')} handlers that are programs, log level warn: ${LISTS.map(({ what }) => what).join(', ')}, whose answers are the beginning of the list or its first block, and a \`ping\` in each format, in turn, ${ROUNDS} rounds of ${ROUND_MS / 1000} s each; user and system time of the agent from /proc for each request, less that of a \`ping\`, round by round; medians`;

const handlers = Object.fromEntries(
  Array.from({ length: HANDLERS }, (_, index) => [
    `h.n${index + 1}`,
    { description: `handler ${index + 1}`, program: ['/bin/true'] },
  ]),
);

export async function run() {
  const agent = await startAgent({ level: 'warn', config: { handlers } });
  const findings = [];
  for (const { list, ping, what } of LISTS) {
    console.log(`  ${what}:`);
    const targets = { ping: { ...agent, format: ping }, list: { ...agent, format: list } };
    const load = { format: ping, inFlight: IN_FLIGHT, ms: ROUND_MS, commands: ROUND_COMMANDS };
    const rounds = await measureInTurn(targets, ROUNDS, load);
    const more = rounds.map((round) => round.list.cpuMicroseconds - round.ping.cpuMicroseconds);
    console.log(`  more than a ping, by round: ${more.map((each) => each.toFixed(1)).join(' ')}`);
    findings.push(
      atMost(
        `CPU time of ${what} with ${HANDLERS.toLocaleString('en')} handlers, above that of a \`ping\``,
        median(more),
        BOUND_MICROSECONDS,
        (microseconds) => `${microseconds.toFixed(1)} µs`,
      ),
    );
  }
  await agent.stop();
  return findings;
}
