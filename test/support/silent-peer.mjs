/**
 * `silent-peer.mjs DEVICE:PORT MILLISECONDS HEX …`: sends each datagram to a device from a port of its own, never answers,
 * and prints after that time for each of them the sizes of what came back, as a list in JSON.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

const [device = '', milliseconds, ...datagrams] = process.argv.slice(2);
const [address, port] = device.split(':');
const sockets = [];
for (const hex of datagrams) {
  const socket = createSocket('udp4');
  /** @type {number[]} */
  const sizes = [];
  socket.on('message', (bytes) => sizes.push(bytes.length));
  socket.bind(0);
  await once(socket, 'listening');
  socket.send(Buffer.from(hex, 'hex'), Number(port), address);
  sockets.push({ socket, sizes });
}
await sleep(Number(milliseconds));
for (const { socket, sizes } of sockets) {
  console.log(JSON.stringify(sizes));
  socket.close();
}
