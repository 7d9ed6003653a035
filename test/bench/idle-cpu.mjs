import { cpuSeconds } from './proc.mjs';
import { atMost, rest, startAgent } from './support.mjs';

const SETTLE_MS = 5000;
const IDLE_MS = 60_000;

export const title = 'CPU when idle';
export const method = `user and system time of the agent over ${IDLE_MS / 1000} s without a datagram, from /proc, begun ${SETTLE_MS / 1000} s after its start`;

export async function run() {
  const agent = await startAgent();
  await rest(SETTLE_MS);
  const [cpu, time] = [cpuSeconds(agent.pid), performance.now()];
  await rest(IDLE_MS);
  const spent = cpuSeconds(agent.pid) - cpu;
  const elapsed = (performance.now() - time) / 1000;
  await agent.stop();
  console.log(`  ${spent.toFixed(2)} s of CPU in ${elapsed.toFixed(1)} s`);
  return [
    atMost(
      'CPU over 60 idle seconds, of one core',
      (spent / elapsed) * 100,
      0.3,
      (percent) => `${percent.toFixed(2)} %`,
    ),
  ];
}
