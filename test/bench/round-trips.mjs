import { cpuSeconds } from './proc.mjs';
import { atLeast, median, startAgent, startEcho, startLoad } from './support.mjs';

const ROUNDS = 15;
const ROUND_MS = 700;
const WARM_UP_MS = 2000;
const IN_FLIGHT = [64, 1];

export const title = 'Round trips of a text `ping`';
export const method = `a load generator in a process of its own keeps 64 commands, or 1, on their way to the agent with log level info, to the agent with log level warn, and to a bare \`node:dgram\` echo, in turn, ${ROUNDS} rounds of ${ROUND_MS / 1000} s each; medians, the ratio taken round by round`;

/** @typedef {{ perSecond: number, p50: number, p99: number, lost: number, cpuMicroseconds: number }} Round */

export async function run() {
  const servers = {
    echo: await startEcho(),
    info: await startAgent(),
    warn: await startAgent({ level: 'warn' }),
  };
  const load = startLoad();

  /** @type {(server: import('./support.mjs').Server, inFlight: number, ms: number) => Promise<Round>} */
  const measure = async ({ address, port, pid }, inFlight, ms) => {
    const before = cpuSeconds(pid);
    const result = await load.run({ kind: 'ping', address, port, inFlight, ms });
    return { ...result, cpuMicroseconds: ((cpuSeconds(pid) - before) / result.commands) * 1e6 };
  };

  const findings = [];
  for (const inFlight of IN_FLIGHT) {
    for (const server of Object.values(servers)) await measure(server, inFlight, WARM_UP_MS);
    /** @type {Record<'echo' | 'info' | 'warn', Round>[]} */
    const rounds = [];
    for (let round = 0; round < ROUNDS; round++) {
      rounds.push({
        echo: await measure(servers.echo, inFlight, ROUND_MS),
        info: await measure(servers.info, inFlight, ROUND_MS),
        warn: await measure(servers.warn, inFlight, ROUND_MS),
      });
    }
    for (const name of /** @type {const} */ (['echo', 'info', 'warn'])) {
      const of = (/** @type {keyof Round} */ key) => median(rounds.map((round) => round[name][key]));
      const lost = rounds.reduce((sum, round) => sum + round[name].lost, 0);
      console.log(
        `  ${inFlight} in flight, ${name}: ${of('perSecond').toFixed(0)}/s, p50 ${of('p50').toFixed(3)} ms, p99 ${of('p99').toFixed(3)} ms, ${of('cpuMicroseconds').toFixed(1)} µs of CPU each, ${lost} lost`,
      );
    }
    for (const name of /** @type {const} */ (['info', 'warn'])) {
      const ratios = rounds.map((round) => round[name].perSecond / round.echo.perSecond);
      console.log(
        `  ${inFlight} in flight, ${name}/echo by round: ${ratios.map((ratio) => ratio.toFixed(2)).join(' ')}`,
      );
      if (inFlight === 1) continue;
      findings.push(
        atLeast(
          `round trips with ${inFlight} in flight, log level ${name}, against a bare echo`,
          median(ratios),
          name === 'info' ? 0.5 : 0.7,
          (ratio) => ratio.toFixed(2),
        ),
      );
    }
  }
  for (const part of [...Object.values(servers), load]) await part.stop();
  return findings;
}
