import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { onTestFinished } from 'vitest';
import type { Endpoint } from '../../agent/transport/endpoint.js';
import { WAIT_MS } from './wait.js';

/** A loopback address that no other test has, in this run or in another at the same time. */
export const randomAddress = (): string => `127.${randomInt(1, 255)}.${randomInt(256)}.${randomInt(1, 255)}`;

export interface Received {
  readonly bytes: Buffer;
  readonly source: Endpoint;
}

/** A UDP socket on a loopback address, closed with the test. */
export async function openPeer(address = randomAddress(), port = 0) {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  const inbox: Received[] = [];
  let arrived: (() => void) | undefined;
  socket.on('message', (bytes, { address: from, port: fromPort }) => {
    inbox.push({ bytes, source: { address: from, port: fromPort } });
    arrived?.();
  });
  socket.bind(port, address);
  await once(socket, 'listening');
  let open = true;
  const close = () => {
    if (open) socket.close();
    open = false;
  };
  onTestFinished(close);

  const endpoint: Endpoint = { address, port: socket.address().port };
  const send = (bytes: Uint8Array | string, to: Endpoint): Promise<void> =>
    new Promise((resolve, reject) =>
      socket.send(bytes, to.port, to.address, (error) => (error ? reject(error) : resolve())),
    );

  /** The next datagram that came here; fails when none comes. */
  async function next(): Promise<Received> {
    if (inbox.length === 0) {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`no datagram came to ${address} in ${WAIT_MS} ms`)), WAIT_MS);
        arrived = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    const first = inbox.shift();
    if (first === undefined) throw new Error('the datagram was taken by someone else');
    return first;
  }

  return {
    endpoint,
    send,
    next,
    close,
    async ask(bytes: Uint8Array | string, to: Endpoint): Promise<Buffer> {
      await send(bytes, to);
      return (await next()).bytes;
    },
    /**
     * What has come here up to now: loopback keeps the order of what was sent, so when a datagram that one sends
     * oneself is there, so is everything before it.
     */
    async everythingSoFar(): Promise<Received[]> {
      const marker = `marker ${randomInt(2 ** 47)}`;
      await send(marker, endpoint);
      const all: Received[] = [];
      for (let one = await next(); one.bytes.toString() !== marker; one = await next()) all.push(one);
      return all;
    },
  };
}
