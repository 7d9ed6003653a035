import { measureInTurn, ratios } from '../lib/rounds.mjs';
import { atLeast, median, startAgent, startCoapPackage, startEcho } from '../lib/support.mjs';

const ROUNDS = 15;
const ROUND_MS = 700;
/** A round is one endpoint's, and ends before its 65,536 message IDs do. */
const ROUND_COMMANDS = 60_000;
const IN_FLIGHT = 64;

export const title = 'Round trips of a CoAP POST';
export const method = `a load generator in a process of its own keeps ${IN_FLIGHT} confirmable POSTs to \`/ping\`, each with a message ID and a token of its own, on their way to the agent with log level warn, to a bare \`node:dgram\` echo that sends the same datagrams back, and to a server made with the npm package \`coap\`, in turn, ${ROUNDS} rounds of ${ROUND_MS / 1000} s each, or of ${ROUND_COMMANDS.toLocaleString('en')} requests where those are answered sooner; medians, the ratio taken round by round`;

export async function run() {
  const servers = {
    echo: await startEcho(),
    agent: await startAgent({ level: 'warn' }),
    package: await startCoapPackage(),
  };
  const load = /** @type {const} */ ({ format: 'coap', inFlight: IN_FLIGHT, ms: ROUND_MS, commands: ROUND_COMMANDS });
  const rounds = await measureInTurn(servers, ROUNDS, load);
  const what = `CoAP round trips with ${IN_FLIGHT} in flight, log level warn,`;
  const findings = [
    atLeast(`${what} against a bare echo`, median(ratios(rounds, 'agent', 'echo')), 0.5, (ratio) => ratio.toFixed(2)),
    atLeast(
      `${what} against the package \`coap\``,
      median(ratios(rounds, 'agent', 'package')),
      2.5,
      (ratio) => `${ratio.toFixed(2)} ×`,
    ),
  ];
  for (const server of Object.values(servers)) await server.stop();
  return findings;
}
