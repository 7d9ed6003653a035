import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { vi } from 'vitest';
import type { ConfigInput } from '../../agent/config/schema.js';
import { nativePackage } from '../../agent/storage/native.js';
import { program } from './process.js';
import type { SystemdBox } from './systemd-box.js';

const FOLDER = '/usr/local/lib/node_modules/supersim-agent';
const WAIT = { timeout: 10_000, interval: 50 };

/** The device's address in the carrier's network; the gateway has its own. */
const DEVICE = '100.64.7.7';

/**
 * Gives a box a carrier: the interface `wwan0`, and behind it, in a network namespace called `carrier`, the gateway
 * 100.64.0.1.
 */
const CARRIER = `
set -e
ip netns add carrier
ip link add wwan0 type veth peer name gateway netns carrier
ip address add ${DEVICE}/32 dev wwan0
ip link set wwan0 up
ip -n carrier address add 100.64.0.1/32 dev gateway
ip -n carrier link set gateway up
ip -n carrier route add ${DEVICE} dev gateway
ip route add 100.64.0.0/10 dev wwan0
`;

/** Sends its standard input to the device from where replies come back to; prints so many of them, a JSON line each. */
const ASK = `
const socket = require('node:dgram').createSocket('udp4');
let missing = Number(process.argv[1]);
socket.on('message', (bytes) => {
  console.log(JSON.stringify(bytes.toString()));
  if (--missing === 0) process.exit();
});
socket.bind(6969, '100.64.0.1', () => socket.send(require('node:fs').readFileSync(0), 6969, '${DEVICE}'));
setTimeout(() => process.exit(1), 10_000);
`;

/**
 * Installs the built agent in a box as the README says, with its units, and gives the box a carrier. Started it is by
 * the test.
 */
export async function installAgent(box: SystemdBox, config: ConfigInput = {}): Promise<void> {
  // It throws where it is not built.
  const built = dirname(dirname(program('supersim-agent')));
  const native = nativePackage('linux', process.arch, () => false);
  await box.copy(built, `${FOLDER}/dist`);
  for (const item of ['package.json', 'node_modules/libsql', `node_modules/${native}`]) {
    await box.copy(item, `${FOLDER}/${item}`);
  }
  await box.done(['ln', '-s', `${FOLDER}/dist/bin/supersim-agent.js`, '/usr/local/bin/supersim-agent']);
  for (const unit of ['supersim-agent.service', 'supersim-agent-reboot.socket', 'supersim-agent-reboot@.service']) {
    await box.copy(`systemd/${unit}`, `/etc/systemd/system/${unit}`);
  }
  await box.copy('systemd/supersim-agent.sysusers.conf', '/usr/lib/sysusers.d/supersim-agent.conf');
  // JSON is YAML.
  box.write('/etc/supersim-agent/config.yaml', JSON.stringify(config));
  await box.done(['sh', '-c', CARRIER]);
  await box.done(['systemd-sysusers']);
  await box.done(['systemctl', 'daemon-reload']);
}

/** Starts the service, or starts it again, and waits until it listens. */
export async function startAgent(box: SystemdBox): Promise<void> {
  await box.done(['systemctl', 'restart', 'supersim-agent']);
  const invocation = await box.done(['systemctl', 'show', '--property=InvocationID', '--value', 'supersim-agent']);
  const journal = ['journalctl', '--no-pager', '--output=cat', `_SYSTEMD_INVOCATION_ID=${invocation}`];
  await vi.waitFor(async () => {
    const lines = await box.done(journal);
    if (!lines.includes('"agent started"')) throw new Error(`the agent has not started\n${lines}`);
  }, WAIT);
}

/** Sends a datagram to the agent through the carrier, and waits for so many of its replies. */
export async function ask(box: SystemdBox, datagram: string, replies = 1): Promise<string[]> {
  const inCarrier = ['ip', 'netns', 'exec', 'carrier', 'node', '-e', ASK, String(replies)];
  const printed = await box.done(inCarrier, { input: datagram });
  return printed.split('\n').map((line) => String(JSON.parse(line)));
}

/** Whether a box that was rebooted is gone. */
export const isGone = (box: SystemdBox): boolean => !existsSync(box.path('/'));
