import { join } from 'node:path';
import { childrenCpuSeconds, cpuSeconds } from '../lib/proc.mjs';
import { atMost, folder, listenToNotices, rest, startAgent } from '../lib/support.mjs';

const SETTLE_MS = 5000;
const IDLE_MS = 60_000;
/** As in systemd/supersim-agent.service. */
const WATCHDOG_MS = 60_000;

export const title = 'CPU when idle';
export const method = `user and system time of the agent and its children over ${IDLE_MS / 1000} s without a datagram, from /proc, begun ${SETTLE_MS / 1000} s after its start; with its control socket, and as a service with \`WatchdogSec=${WATCHDOG_MS / 1000}\`, that is three \`systemd-notify\` in the time`;

export async function run() {
  const path = join(folder, 'notify.sock');
  const systemd = await listenToNotices(path);
  const agent = await startAgent({
    config: { control: { socket: join(folder, 'control.sock') } },
    readyMark: 'systemd notified: ready',
    env: { NOTIFY_SOCKET: path, WATCHDOG_USEC: String(WATCHDOG_MS * 1000) },
  });
  await rest(SETTLE_MS);
  const signsBefore = signsOf(systemd);
  const [cpu, childrenCpu, time] = [cpuSeconds(agent.pid), childrenCpuSeconds(agent.pid), performance.now()];
  await rest(IDLE_MS);
  const own = cpuSeconds(agent.pid) - cpu;
  const children = childrenCpuSeconds(agent.pid) - childrenCpu;
  const elapsed = (performance.now() - time) / 1000;
  const signs = signsOf(systemd) - signsBefore;
  await agent.stop();
  await systemd.stop();
  if (signs < 2) throw new Error(`systemd heard just ${signs} signs of life`);
  console.log(
    `  ${own.toFixed(2)} s of CPU, and ${children.toFixed(2)} s of children, in ${elapsed.toFixed(1)} s; ${signs} signs of life`,
  );
  return [
    atMost(
      'CPU over 60 idle seconds, of one core, watchdog and control socket on',
      ((own + children) / elapsed) * 100,
      0.3,
      (percent) => `${percent.toFixed(2)} %`,
    ),
  ];
}

/** @param {{ heard: () => string }} systemd */
const signsOf = ({ heard }) => heard().split('WATCHDOG=1').length - 1;
