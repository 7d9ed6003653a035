import type { Socket } from 'node:dgram';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createUdpTransport } from '../../agent/transport/udp/udp.js';
import { recordingLog } from '../support/log.js';
import { openPeer, randomAddress } from '../support/udp.js';

const network: {
  readonly opened: Socket[];
  /** How many sockets from now on find their port taken. */
  refusals: number;
} = vi.hoisted(() => ({ opened: [], refusals: 0 }));

vi.mock('node:dgram', async (importOriginal) => {
  const dgram = await importOriginal<typeof import('node:dgram')>();
  return {
    ...dgram,
    createSocket(...args: Parameters<typeof dgram.createSocket>) {
      const socket = dgram.createSocket(...args);
      network.opened.push(socket);
      if (network.refusals > 0) {
        network.refusals--;
        socket.bind = () => {
          process.nextTick(() => socket.emit('error', Object.assign(new Error('taken'), { code: 'EADDRINUSE' })));
          return socket;
        };
      }
      return socket;
    },
  };
});

async function listening(ports: readonly number[]) {
  const recording = recordingLog();
  const address = randomAddress();
  const transport = createUdpTransport(
    { listen: address, ports, gateway: { address: '127.0.0.1', port: 6969 }, receiveBufferBytes: 65_536 },
    recording.log,
  );
  onTestFinished(() => transport.stop());
  network.opened.length = 0;
  await transport.start(({ bytes, source, port }) => transport.send(bytes, source, port, () => undefined));
  const [first] = network.opened;
  if (first === undefined) throw new Error('its sockets were not seen');
  return { transport, recording, address, first };
}

describe('a UDP socket that fails', () => {
  it('is reopened together with the others, and answers as before', async () => {
    const { transport, recording, address, first } = await listening([6969, 7000]);
    const peer = await openPeer();
    first.emit('error', new Error('ENETDOWN'));
    expect(recording.withMessage('UDP socket failed; reopening all sockets')).toHaveLength(1);
    await recording.times('listening', 2);
    for (const port of [6969, 7000]) {
      expect((await peer.ask(`to ${port}`, { address, port })).toString()).toBe(`to ${port}`);
    }
    expect(transport.address()).toBe(address);
  });

  it('is retried with growing delays until its port is free', async () => {
    const { transport, recording, address, first } = await listening([6969, 7000]);
    const peer = await openPeer();
    network.refusals = 3;
    first.emit('error', new Error('ENETDOWN'));
    await recording.times('cannot listen', 3);
    expect(transport.address()).toBe(undefined);
    const waits = recording.withMessage('cannot listen').map(({ details }) => Number(details['retryMs']));
    for (const [round, most] of [250, 500, 1000].entries()) {
      expect(waits[round]).toBeGreaterThanOrEqual(most / 2);
      expect(waits[round]).toBeLessThanOrEqual(most);
    }
    await recording.times('listening', 2);
    expect((await peer.ask('x', { address, port: 7000 })).toString()).toBe('x');
  });

  it('is not reopened after the transport stops', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const { transport, address, first } = await listening([6969]);
    first.emit('error', new Error('ENETDOWN'));
    expect(vi.getTimerCount()).toBe(1);
    await transport.stop();
    expect(vi.getTimerCount()).toBe(0);
    await openPeer(address, 6969);
  });
});
