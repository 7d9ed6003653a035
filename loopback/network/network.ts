import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { SourcePort } from '../vendor-assumptions.js';
import { listenError } from './listen-error.js';

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** A datagram that a device sent. */
export interface Datagram {
  readonly bytes: Buffer;
  readonly from: Endpoint;
  /** Whether it was sent to the gateway's port, or to the source port of to_sim datagrams. */
  readonly to: 'gateway' | 'source';
}

/** The UDP sockets: the gateway's, and the one from which to_sim datagrams are sent. */
export interface Network {
  readonly gateway: Endpoint;
  /** Source of to_sim datagrams. */
  readonly source: Endpoint;
  /** @throws the system's error when the datagram cannot be sent */
  send(bytes: Buffer, destination: Endpoint): Promise<void>;
  close(): Promise<void>;
}

export interface NetworkOptions {
  readonly address: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly sourcePort: SourcePort;
  readonly onDatagram: (datagram: Datagram) => void;
  readonly onError: (error: Error) => void;
}

/**
 * Opens the gateway.
 *
 * @throws SupersimError `port-in-use`, `port-forbidden`, or `bad-input` when the address is not this machine's
 */
export async function openNetwork(options: NetworkOptions): Promise<Network> {
  const open = async (to: Datagram['to'], port: number) => {
    const socket = await bind(options.address, port);
    socket.on('error', options.onError);
    socket.on('message', (bytes, { address, port }) => options.onDatagram({ bytes, from: { address, port }, to }));
    return socket;
  };
  const gateway = await open('gateway', options.port);
  const source =
    options.sourcePort === 'gateway'
      ? gateway
      : await open('source', 0).catch(async (error) => {
          await closeSocket(gateway);
          throw error;
        });
  return {
    gateway: endpointOf(gateway),
    source: endpointOf(source),
    send: (bytes, { address, port }) =>
      new Promise((resolve, reject) => {
        source.send(bytes, port, address, (error) => (error ? reject(error) : resolve()));
      }),
    async close() {
      await Promise.all([...new Set([gateway, source])].map(closeSocket));
    },
  };
}

function endpointOf(socket: Socket): Endpoint {
  const { address, port } = socket.address();
  return { address, port };
}

/** Room for the datagrams of thousands of devices that answer at once; the kernel gives less where its bound is lower. */
const RECEIVE_BUFFER_BYTES = 4_194_304;

async function bind(address: string, port: number): Promise<Socket> {
  const socket = createSocket({
    type: 'udp4',
    recvBufferSize: RECEIVE_BUFFER_BYTES,
    // Destinations are address literals: skip the resolver, which would be called for each datagram.
    lookup: (host, _options, callback) => callback(null, host, 4),
  });
  try {
    const listening = once(socket, 'listening');
    socket.bind(port, address);
    await listening;
    return socket;
  } catch (error) {
    socket.close();
    throw listenError(error, `${address}:${port} (UDP)`);
  }
}

async function closeSocket(socket: Socket): Promise<void> {
  const closed = once(socket, 'close');
  socket.close();
  await closed;
}
