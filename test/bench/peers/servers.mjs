/** Starts the peers that are no programs of this folder alone: libcoap's server, and a device behind an MQTT broker. */
import { once } from 'node:events';
import { accessSync, constants, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ADDRESS, answers, folder, rest, startServer } from '../lib/support.mjs';

const PROBE_MS = 50;
const DEVICE = fileURLToPath(new URL('mqtt-device.mjs', import.meta.url));
/** Debian has brokers there, and a user's PATH may lack it. */
const SYSTEM_FOLDER = '/usr/sbin';
/** POST to /ping, which makes the resource when it comes first. */
const CREATE_PING = Buffer.from([0x40, 0x02, 0, 1, 0xb4, ...Buffer.from('ping')]);

/**
 * Returns the path of a program, or says that it is missing.
 *
 * @param {string} name
 * @param {string} debianPackage
 */
export function findTool(name, debianPackage) {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), SYSTEM_FOLDER];
  const found = folders.map((each) => join(each, name)).find(isExecutable);
  if (found === undefined) console.log(`  left out, as ${name} is missing (Debian's package ${debianPackage})`);
  return found;
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * libcoap's example server, with the resource /ping.
 *
 * @param {string} program
 */
export const startLibcoap = (program) =>
  startServer((port) => [program, '-A', ADDRESS, '-p', String(port), '-d', '1'], {
    ready: (port) => answers(port, CREATE_PING),
  });

/**
 * An MQTT broker that keeps nothing on disk, and has room for all that a load has on its way.
 *
 * @param {string} program
 */
export async function startBroker(program) {
  const port = await freeTcpPort();
  const file = join(folder, 'mosquitto.conf');
  const lines = [
    `listener ${port} ${ADDRESS}`,
    'allow_anonymous true',
    'persistence false',
    'max_inflight_messages 0',
    'max_queued_messages 0',
    'log_dest stderr',
    'log_type error',
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  return startServer(() => [program, '-c', file], { ready: accepts, port });
}

/**
 * A device that takes commands from a broker.
 *
 * @param {import('../lib/support.mjs').Server} broker
 * @param {0 | 1} qos of commands and replies
 * @returns {Promise<import('../lib/support.mjs').Measured>}
 */
export async function startMqttDevice({ port, pid }, qos) {
  const topics = { commands: `devices/${qos}/commands`, replies: `devices/${qos}/replies`, qos };
  const args = [ADDRESS, String(port), topics.commands, topics.replies, String(qos)];
  const device = await startServer(() => [process.execPath, DEVICE, ...args], { readyMark: 'ready', port });
  return { ...device, beside: [pid], topics };
}

/**
 * Resolves when a TCP connection is accepted.
 *
 * @param {number} port
 */
async function accepts(port) {
  for (;;) {
    const socket = connect(port, ADDRESS);
    const connected = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (connected) return;
    await rest(PROBE_MS);
  }
}

/** A TCP port that was free just now. */
async function freeTcpPort() {
  const server = createServer().listen(0, ADDRESS);
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no TCP port');
  return address.port;
}
