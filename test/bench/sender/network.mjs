/**
 * What broadcasts are measured on, a process of its own: the loopback, and on each SIM's address a device that answers at
 * once, CoAP or text. Tells its parent how to reach it. Sets the faults of the API that its parent sends, and answers with
 * the number of requests since the last were set.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { startLoopback } from '../../../dist/loopback/index.js';

const DEVICE_PORT = 6969;
const HASH = 0x23;

const count = Number(process.argv[2]);
const sims = Array.from({ length: count }, (_, index) => ({
  name: `gateway-${index + 1}`,
  address: `127.200.${index >> 8}.${index & 0xff}`,
}));
const loopback = await startLoopback({ httpPort: 0, gatewayAddress: '127.199.0.1', gatewayPort: 0, sims });
const { url, accountSid, authToken, gateway } = loopback;
const own = loopback.sims.map(({ sid, uniqueName, address }) => ({ sid, uniqueName, address }));
for (const { address } of own) {
  const socket = createSocket('udp4');
  socket.on('message', (bytes) => socket.send(answer(bytes), gateway.port, gateway.address));
  socket.bind(DEVICE_PORT, address);
  await once(socket, 'listening');
}
process.on('disconnect', () => process.exit());
process.on('message', (/** @type {import('../../../loopback/index.js').ApiFaultsInput} */ apiFaults) => {
  const { requests } = loopback.apiFaults();
  loopback.setApiFaults(apiFaults);
  process.send?.({ requests });
});
process.send?.({
  url,
  accountSid,
  authToken,
  sims: own.map(({ sid }) => sid),
  names: own.map(({ uniqueName }) => uniqueName),
});

/**
 * `#id ok pong` for `#id ping`, and for a CoAP request 2.04 in its acknowledgement (RFC 7252 §3).
 *
 * @param {Buffer} bytes
 */
function answer(bytes) {
  if (bytes[0] === HASH) return `${bytes.toString().split(' ', 1)[0]} ok pong`;
  const tokenLength = (bytes[0] ?? 0) & 0x0f;
  const reply = Buffer.from(bytes.subarray(0, 4 + tokenLength));
  reply[0] = 0x60 | tokenLength;
  reply[1] = 0x44;
  return reply;
}
