import { measureInTurn, ratios } from '../lib/rounds.mjs';
import { atLeast, atMost, median, startAgent, startEcho } from '../lib/support.mjs';

const ROUNDS = 15;
const ROUND_MS = 700;
const IN_FLIGHT = [64, 1];
/** The rate and the CPU time per command, against the echo's. */
const BOUNDS = { info: { rate: 0.5, cpu: 1.7 }, warn: { rate: 0.7, cpu: 1.35 } };

export const title = 'Round trips of a text `ping`';
export const method = `a load generator in a process of its own keeps 64 commands, or 1, on their way to the agent with log level info, to the agent with log level warn, and to a bare \`node:dgram\` echo, in turn, ${ROUNDS} rounds of ${ROUND_MS / 1000} s each; user and system time of the process from /proc; medians, the ratios taken round by round`;

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
      const rate = median(ratios(rounds, name, 'echo'));
      const cpu = median(ratios(rounds, name, 'echo', 'cpuMicroseconds'));
      if (inFlight === 1) continue;
      const what = `with ${inFlight} in flight, log level ${name}, against a bare echo`;
      const print = (/** @type {number} */ figure) => figure.toFixed(2);
      findings.push(
        atLeast(`round trips ${what}`, rate, BOUNDS[name].rate, print),
        atMost(`CPU time of a round trip ${what}`, cpu, BOUNDS[name].cpu, print),
      );
    }
  }
  for (const server of Object.values(servers)) await server.stop();
  return findings;
}
