import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { kernelDrops } from '../lib/proc.mjs';
import { atLeast, folder, startAgent, startLoad } from '../lib/support.mjs';

const COUNT = 2000;
const BYTES = 1300;
const BUSY_MS = 1000;
const DEFAULT_BUFFER = 4_194_304;
/** What the kernel allows without a sysctl file. */
const KERNEL_BUFFER = 212_992;

export const title = 'A burst while the event loop is busy';
export const method = `${COUNT} text commands of ${BYTES} bytes, sent while a handler keeps the loop busy for ${BUSY_MS / 1000} s; what the agent received of them by its own counters, what the kernel threw away by /proc/net/udp; once with the receive buffer that the agent asks for by default (${DEFAULT_BUFFER}), once with the kernel's ${KERNEL_BUFFER}`;

const HANDLER = `export const block = {
  name: 'block',
  description: 'Keeps the event loop busy',
  run() {
    const end = performance.now() + ${BUSY_MS};
    while (performance.now() < end);
  },
};
`;

export async function run() {
  const most = Number(readFileSync('/proc/sys/net/core/rmem_max', 'utf8'));
  if (most < DEFAULT_BUFFER) {
    console.log(
      `  net.core.rmem_max is ${most} here: sysctl -w net.core.rmem_max=${DEFAULT_BUFFER} for the first figure`,
    );
  }
  const print = (/** @type {number} */ count) => `${count} of ${COUNT}`;
  return [
    atLeast(`a burst of ${BYTES} bytes each, default receive buffer`, await survivors({}), 900, print),
    atLeast(
      `a burst of ${BYTES} bytes each, receive buffer of ${KERNEL_BUFFER}`,
      await survivors({ receiveBufferBytes: KERNEL_BUFFER }),
      150,
      print,
    ),
  ];
}

/** @param {Record<string, unknown>} listen */
async function survivors(listen) {
  const module = join(folder, 'block.mjs');
  writeFileSync(module, HANDLER, { mode: 0o600 });
  const agent = await startAgent({ config: { listen, modules: [module] }, keepLog: true });
  const load = startLoad();
  const { address, port } = agent;
  const { sendMs, busyMs } = await load.run({ kind: 'burst', address, port, ms: BUSY_MS, count: COUNT, bytes: BYTES });
  const lost = kernelDrops(port);
  await agent.stop();
  await load.stop();
  const received = Number(/"received":(\d+).*"agent stopped"/.exec(agent.log())?.[1]) - 1; // one is `block`
  console.log(
    `  sent in ${sendMs.toFixed(0)} ms of a busy ${busyMs.toFixed(0)} ms; received ${received}, thrown away by the kernel ${lost}`,
  );
  if (received + lost !== COUNT) throw new Error(`${COUNT - received - lost} datagrams are not accounted for`);
  return received;
}
