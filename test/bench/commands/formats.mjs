import { measureInTurn, ratios } from '../lib/rounds.mjs';
import { atLeast, median, startAgent, startEcho } from '../lib/support.mjs';

const ROUNDS = 11;
const ROUND_MS = 700;
/** A round of CoAP is one endpoint's, and ends before its 65,536 message IDs do. */
const ROUND_COMMANDS = 60_000;
const IN_FLIGHT = 64;
/** One long string, for which the rate against the echo's has a bound, and many short ones. */
const FORMATS = /** @type {const} */ ([
  { format: 'longText', what: 'text of 1,300 bytes', least: 0.5 },
  { format: 'longJson', what: 'JSON of 1,290 bytes', least: 0.6 },
  { format: 'longCbor', what: 'CBOR of 1,260 bytes', least: 0.6 },
  { format: 'longCoap', what: 'CoAP with a payload of 1,000 bytes and no Content-Format', least: 0.45 },
  { format: 'manyWords', what: 'text of 160 words' },
  { format: 'manyJson', what: 'JSON with 60 parameters' },
  { format: 'manyCbor', what: 'CBOR with 60 parameters' },
  { format: 'manyCoap', what: 'CoAP with 125 words' },
]);

export const title = 'Round trips of long datagrams';
export const method = `a load generator in a process of its own keeps ${IN_FLIGHT} commands to \`echo\` on their way, ${FORMATS.map(({ what }) => what).join(', ')}, to the agent with log level warn, and to a bare \`node:dgram\` echo, in turn, ${ROUNDS} rounds of ${ROUND_MS / 1000} s each; medians, the ratios taken round by round`;

export async function run() {
  const servers = { echo: await startEcho(), agent: await startAgent({ level: 'warn' }) };
  const findings = [];
  for (const { format, what, ...bound } of FORMATS) {
    console.log(`  ${what}:`);
    const load = { format, inFlight: IN_FLIGHT, ms: ROUND_MS, commands: ROUND_COMMANDS };
    const rounds = await measureInTurn(servers, ROUNDS, load);
    ratios(rounds, 'agent', 'echo', 'cpuMicroseconds');
    const rate = median(ratios(rounds, 'agent', 'echo'));
    if (!('least' in bound)) continue;
    findings.push(
      atLeast(`${what}, log level warn, against a bare echo`, rate, bound.least, (ratio) => ratio.toFixed(2)),
    );
  }
  for (const server of Object.values(servers)) await server.stop();
  return findings;
}
