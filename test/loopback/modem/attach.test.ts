import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { expect, test, vi } from 'vitest';
import { startLoopback } from '../../../loopback/index.js';

vi.mock('@lydell/node-pty', () => {
  throw new Error('Cannot find package');
});

async function freePort(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}

test('without the package @lydell/node-pty the start fails with pty-missing, and nothing stays open', async () => {
  const gatewayPort = await freePort();
  const options = { httpPort: 0, gatewayPort };
  await expect(startLoopback({ ...options, modem: { dialect: 'quectel' } })).rejects.toMatchObject({
    code: 'pty-missing',
  });
  const loopback = await startLoopback(options);
  expect(loopback.modem).toBeUndefined();
  await loopback.stop();
});
