/**
 * `stored.mjs SIMS SENDERS COMMANDS`, a process of its own: a loopback with so many SIMs, of which so many have sent so
 * many commands each. Tells its parent how to reach it.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { startLoopback } from '../../../dist/loopback/index.js';

const POLL_MS = 1;
const MOST_POLLS = 5000;

const [simCount = 1, senderCount = 1, commands = 1] = process.argv.slice(2).map(Number);
const sims = Array.from({ length: simCount }, (_, index) => ({
  name: `gateway-${index + 1}`,
  address: `127.200.${index >> 8}.${index & 0xff}`,
}));
const loopback = await startLoopback({
  httpPort: 0,
  gatewayAddress: '127.199.0.1',
  gatewayPort: 0,
  sims,
  maxCommands: Math.max(1, senderCount * commands),
});
const { url, accountSid, authToken, gateway, counters } = loopback;
const senders = loopback.sims.slice(0, senderCount);
const devices = await Promise.all(senders.map(({ address }) => openDevice(address)));
for (let number = 1; number <= commands; number++) {
  for (const device of devices) device.send(`#${number} ok pong`, gateway.port, gateway.address);
  await stored(number * devices.length);
}
for (const device of devices) device.close();
process.on('disconnect', () => process.exit());
process.send?.({ url, auth: `${accountSid}:${authToken}`, sims: senders.map(({ sid }) => sid) });

/** @param {string} address */
async function openDevice(address) {
  const socket = createSocket('udp4');
  socket.bind(0, address);
  await once(socket, 'listening');
  return socket;
}

/** Waits until so many commands are stored. @param {number} count */
async function stored(count) {
  for (let polls = 0; counters.fromSim < count; polls++) {
    if (polls === MOST_POLLS) throw new Error(`${counters.fromSim} of ${count} commands are stored`);
    await delay(POLL_MS);
  }
}
