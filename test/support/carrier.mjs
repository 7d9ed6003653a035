/**
 * `carrier.mjs DEVICE:PORT HEX ADDRESS:PORT …`: sends a datagram to a device from each of these addresses in turn, and
 * prints in hexadecimal what comes to the first of them, which is the gateway, before it goes on.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';

const WAIT_MS = 5000;

/** @param {string} text */
function endpoint(text) {
  const [address, port] = text.split(':');
  return { address, port: Number(port) };
}

const [device = '', hex = '', ...sources] = process.argv.slice(2);
const { address, port } = endpoint(device);
const sockets = sources.map(() => createSocket('udp4'));
for (const [index, socket] of sockets.entries()) {
  socket.bind(endpoint(sources[index] ?? ''));
  await once(socket, 'listening');
}
for (const socket of sockets) {
  const reply = once(sockets[0] ?? socket, 'message', { signal: AbortSignal.timeout(WAIT_MS) });
  socket.send(Buffer.from(hex, 'hex'), port, address);
  const [bytes] = await reply;
  console.log(bytes.toString('hex'));
}
for (const socket of sockets) socket.close();
