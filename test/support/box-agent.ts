import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { ConfigInput } from '../../agent/config/schema.js';
import { nativePackage } from '../../shared/sqlite/native.js';
import { program } from './process.js';
import type { SystemdBox } from './systemd-box.js';

const FOLDER = '/usr/local/lib/node_modules/supersim-agent';

const UNITS = [
  'supersim-agent.service',
  'supersim-agent-interface.service',
  'supersim-agent-reboot.socket',
  'supersim-agent-reboot@.service',
];

/** The device's address in the carrier's network; the gateway has its own. */
export const DEVICE = '100.64.7.7';

/** The interface `wwan0`, and behind it, in a network namespace called `carrier`, the gateway 100.64.0.1. */
const LINK = `
set -e
ip link add wwan0 type veth peer name gateway netns carrier
ip address add ${DEVICE}/32 dev wwan0
ip link set wwan0 up
ip -n carrier address add 100.64.0.1/32 dev gateway
ip -n carrier link set gateway up
ip -n carrier route add ${DEVICE} dev gateway
ip route add 100.64.0.0/10 dev wwan0
`;

/** Prints what comes to the gateway, a line each. */
const LISTEN = `
const socket = require('node:dgram').createSocket('udp4');
socket.on('message', (bytes) => console.log(bytes.toString()));
socket.bind(6969, '100.64.0.1', () => console.log('listening'));
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
  for (const item of ['package.json', `node_modules/${native}`]) {
    await box.copy(item, `${FOLDER}/${item}`);
  }
  await box.done(['ln', '-s', `${FOLDER}/dist/bin/supersim-agent.js`, '/usr/local/bin/supersim-agent']);
  for (const unit of UNITS) await box.copy(`systemd/${unit}`, `/etc/systemd/system/${unit}`);
  await box.copy('systemd/nftables-supersim-agent.conf', '/etc/systemd/system/nftables.service.d/supersim-agent.conf');
  await box.copy('systemd/supersim-agent.sysusers.conf', '/usr/lib/sysusers.d/supersim-agent.conf');
  await addCarrier(box);
  await box.done(['systemd-sysusers']);
  // JSON is YAML.
  box.write('/etc/supersim-agent/config.yaml', JSON.stringify(config), 0o640);
  await box.done(['chgrp', 'supersim-agent', '/etc/supersim-agent/config.yaml']);
  await box.done(['systemctl', 'daemon-reload']);
}

/** Gives a box the carrier, and a cellular link to it. */
export async function addCarrier(box: SystemdBox): Promise<void> {
  await box.done(['ip', 'netns', 'add', 'carrier']);
  await box.done(['ip', '-n', 'carrier', 'link', 'set', 'lo', 'up']);
  await linkUp(box);
}

/** Gives the device its cellular link. */
export const linkUp = (box: SystemdBox) => box.done(['sh', '-c', LINK]);

/** Takes it away, interface, address and route. */
export const linkDown = (box: SystemdBox) => box.done(['ip', 'link', 'delete', 'wwan0']);

/** Starts the service, or starts it again, and waits until it is ready. */
export const startAgent = (box: SystemdBox) => box.done(['systemctl', 'restart', 'supersim-agent']);

/** Changes the service's unit by drop-ins, each by its name; an empty one takes it away. */
export async function changeUnit(box: SystemdBox, dropIns: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, lines] of Object.entries(dropIns)) {
    box.write(`/etc/systemd/system/supersim-agent.service.d/${name}.conf`, lines && `[Service]\n${lines}\n`);
  }
  await box.done(['systemctl', 'daemon-reload']);
}

/** A property of the service, as systemd shows it. */
export const property = (box: SystemdBox, name: string) =>
  box.done(['systemctl', 'show', `--property=${name}`, '--value', 'supersim-agent']);

const IN_CARRIER = ['ip', 'netns', 'exec', 'carrier'];

/** Sends a datagram to the agent through the carrier. */
export const send = (box: SystemdBox, datagram: string) =>
  box.done([...IN_CARRIER, 'bash', '-c', `cat >/dev/udp/${DEVICE}/6969`], { input: datagram });

/** Sends the lines of its standard input, one every few milliseconds. */
const SEND_ALL = `
const socket = require('node:dgram').createSocket('udp4');
const lines = require('node:fs').readFileSync(0, 'utf8').split('\\n');
const timer = setInterval(() => {
  socket.send(lines.shift(), 6969, '${DEVICE}', () => lines.length === 0 && socket.close());
  if (lines.length === 0) clearInterval(timer);
}, 4);
`;

/** Sends datagrams of a line each, one every few milliseconds. */
export const sendAll = (box: SystemdBox, datagrams: readonly string[]) =>
  box.done([...IN_CARRIER, 'node', '-e', SEND_ALL], { input: datagrams.join('\n') });

/** The gateway beyond the carrier, for the length of a test. */
export async function openGateway(box: SystemdBox) {
  const listener = box.start([...IN_CARRIER, 'node', '-e', LISTEN]);
  await listener.line(/^listening$/);
  return {
    /** Sends a datagram to the agent. */
    send: (datagram: string) => send(box, datagram),
    /** Waits for a datagram that fits. */
    reply: listener.line,
    /** All that have come. */
    replies: () => listener.output().split('\n').slice(1),
  };
}

/** Sends a datagram to the agent through the carrier, and waits for so many of its replies. */
export async function ask(box: SystemdBox, datagram: string, replies = 1): Promise<string[]> {
  const printed = await box.done([...IN_CARRIER, 'node', '-e', ASK, String(replies)], { input: datagram });
  return printed.split('\n').map((line) => String(JSON.parse(line)));
}

/** Whether a box that was rebooted is gone. */
export const isGone = (box: SystemdBox): boolean => !existsSync(box.path('/'));
