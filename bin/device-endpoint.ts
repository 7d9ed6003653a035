import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { platform } from 'node:os';
import type { Endpoint } from '../loopback/index.js';
import { systemCodeOf } from '../shared/errors.js';
import { DEVICE_PORT } from '../shared/limits.js';

/** Linux answers on all of 127.0.0.0/8; elsewhere there is one loopback address, without further set-up. */
const ADDRESSES =
  platform() === 'linux' ? Array.from({ length: 253 }, (_, index) => `127.0.0.${index + 2}`) : ['127.0.0.1'];
const ADDRESS_OF_OTHER_PORT = platform() === 'linux' ? '127.0.0.2' : '127.0.0.1';

/** UDP endpoints that an agent can listen on: the default port of each loopback address, and last another port. */
export async function* freeDeviceEndpoints(): AsyncGenerator<Endpoint> {
  for (const address of ADDRESSES) {
    const endpoint = { address, port: DEVICE_PORT };
    if (await isFree(endpoint)) yield endpoint;
  }
  const port = await bindUdp({ address: ADDRESS_OF_OTHER_PORT, port: 0 });
  if (port !== undefined) yield { address: ADDRESS_OF_OTHER_PORT, port };
}

/** Whether no other program listens on the endpoint now. */
export const isFree = async (endpoint: Endpoint): Promise<boolean> => (await bindUdp(endpoint)) !== undefined;

/** Binds a socket for a moment, and returns its port; undefined when the endpoint is in use. */
async function bindUdp({ address, port }: Endpoint): Promise<number | undefined> {
  const socket = createSocket('udp4');
  try {
    socket.bind(port, address);
    await once(socket, 'listening');
    return socket.address().port;
  } catch (error) {
    if (systemCodeOf(error) === 'EADDRINUSE') return undefined;
    throw error;
  } finally {
    socket.close();
    await once(socket, 'close');
  }
}
