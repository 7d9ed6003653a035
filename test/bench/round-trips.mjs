import { measureInTurn, ratios } from './rounds.mjs';
import { atLeast, median, startAgent, startEcho } from './support.mjs';

const ROUNDS = 15;
const ROUND_MS = 700;
const IN_FLIGHT = [64, 1];

export const title = 'Round trips of a text `ping`';
export const method = `a load generator in a process of its own keeps 64 commands, or 1, on their way to the agent with log level info, to the agent with log level warn, and to a bare \`node:dgram\` echo, in turn, ${ROUNDS} rounds of ${ROUND_MS / 1000} s each; medians, the ratio taken round by round`;

export async function run() {
  const servers = {
    echo: await startEcho(),
    info: await startAgent(),
    warn: await startAgent({ level: 'warn' }),
  };
  const findings = [];
  for (const inFlight of IN_FLIGHT) {
    const rounds = await measureInTurn(servers, ROUNDS, { format: 'text', inFlight, ms: ROUND_MS });
    for (const name of /** @type {const} */ (['info', 'warn'])) {
      const ratio = median(ratios(rounds, name, 'echo'));
      if (inFlight === 1) continue;
      findings.push(
        atLeast(
          `round trips with ${inFlight} in flight, log level ${name}, against a bare echo`,
          ratio,
          name === 'info' ? 0.5 : 0.7,
          (figure) => figure.toFixed(2),
        ),
      );
    }
  }
  for (const server of Object.values(servers)) await server.stop();
  return findings;
}
