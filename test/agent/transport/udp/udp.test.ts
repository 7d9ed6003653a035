import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import dns from 'node:dns';
import { existsSync } from 'node:fs';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Endpoint } from '../../../../agent/transport/endpoint.js';
import { createSentCounts } from '../../../../agent/transport/sent-counts.js';
import type { Datagram, Transport } from '../../../../agent/transport/transport.js';
import { createUdpTransport, type UdpOptions } from '../../../../agent/transport/udp/udp.js';
import { isSupersimError } from '../../../../shared/errors.js';
import { recordingLog } from '../../../support/log.js';
import { needs } from '../../../support/needs.js';
import { openPeer, randomAddress } from '../../../support/udp.js';

/** Starts a transport until the end of the test; it records datagrams, and by default answers each with its port. */
function create(options: Partial<UdpOptions> = {}, answer = true) {
  const recording = recordingLog();
  const transport = createUdpTransport(
    {
      listen: randomAddress(),
      ports: [6969],
      gateway: { address: '127.0.0.1', port: 6969 },
      receiveBufferBytes: 65_536,
      ...options,
    },
    recording.log,
  );
  onTestFinished(() => transport.stop());
  const received: Datagram[] = [];
  const start = () =>
    transport.start((datagram) => {
      received.push(datagram);
      if (answer) transport.send(Buffer.from(`from ${datagram.port}`), datagram.source, datagram.port, () => undefined);
    });
  return { transport, recording, received, start };
}

async function listening(options: Partial<UdpOptions> = {}, answer = true) {
  const created = create(options, answer);
  await created.start();
  return { ...created, address: created.transport.address() ?? '' };
}

const send = (transport: Transport, destination: Endpoint, port = 6969, bytes = Buffer.from('x')) =>
  new Promise<Error | undefined>((resolve) => transport.send(bytes, destination, port, resolve));

describe('datagrams over UDP', () => {
  it('are received with source, port and time, and sent from the requested port', async () => {
    const peer = await openPeer();
    const { address, received } = await listening({ ports: [6969, 7000, 7001] });
    for (const port of [7001, 6969, 7000]) {
      await peer.send(`to ${port}`, { address, port });
      expect(await peer.next()).toEqual({ bytes: Buffer.from(`from ${port}`), source: { address, port } });
    }
    expect(received).toMatchObject(
      [7001, 6969, 7000].map((port) => ({
        bytes: Buffer.from(`to ${port}`),
        source: peer.endpoint,
        port,
        transport: 'udp',
      })),
    );
    const times = received.map(({ receivedAt }) => receivedAt);
    expect(times.every((time) => time > 0 && time <= performance.now())).toBe(true);
    expect(times).toEqual([...times].sort((a, b) => a - b));
  });

  it('keep every byte value, and may be empty or as long as UDP allows', async () => {
    const peer = await openPeer();
    const { address, transport, received } = await listening({ receiveBufferBytes: 1_048_576 });
    const all = Buffer.from(Array.from({ length: 65_507 }, (_, index) => index & 0xff));
    for (const bytes of [all.subarray(0, 256), Buffer.alloc(0), all]) {
      await peer.ask(bytes, { address, port: 6969 });
      expect(received.at(-1)?.bytes.equals(bytes)).toBe(true);
      expect(await send(transport, peer.endpoint, 6969, bytes)).toBe(undefined);
      expect((await peer.next()).bytes.equals(bytes)).toBe(true);
    }
  });

  it.skipIf(needs('ipv6'))('work over IPv6', async () => {
    const port = randomInt(20_000, 30_000);
    const peer = await openPeer('::1');
    const { received } = await listening({ listen: '::1', ports: [port] });
    await peer.send('x', { address: '::1', port });
    expect(await peer.next()).toEqual({ bytes: Buffer.from(`from ${port}`), source: { address: '::1', port } });
    expect(received[0]?.source).toEqual(peer.endpoint);
  });

  it.skipIf(needs('ipv6'))(
    'go by IPv4 and IPv6 on a socket for both, an IPv4 address being written as such',
    async () => {
      const port = randomInt(20_000, 30_000);
      const [four, six] = [await openPeer('127.0.0.1'), await openPeer('::1')];
      const { received, transport } = await listening({ listen: '::', ports: [port] });
      expect((await four.ask('x', { address: '127.0.0.1', port })).toString()).toBe(`from ${port}`);
      expect((await six.ask('x', { address: '::1', port })).toString()).toBe(`from ${port}`);
      expect(received.map(({ source }) => source)).toEqual([four.endpoint, six.endpoint]);
      expect(transport.kernelDrops()).toBe(existsSync('/proc/net/udp6') ? 0 : undefined);
    },
  );

  it('are sent without a name lookup', async () => {
    const lookup = vi.spyOn(dns, 'lookup');
    onTestFinished(() => lookup.mockRestore());
    const { transport } = await listening();
    const peer = await openPeer();
    // The peer is an ordinary socket, which does look up names.
    lookup.mockClear();
    await peer.send('x', peer.endpoint);
    expect(lookup).toHaveBeenCalled();
    await peer.next();
    lookup.mockClear();
    for (let i = 0; i < 5; i++) {
      expect(await send(transport, peer.endpoint)).toBe(undefined);
      await peer.next();
    }
    expect(lookup).not.toHaveBeenCalled();
  });
});

describe('a datagram that cannot be sent', () => {
  const codeOf = async (sent: Promise<Error | undefined>) => {
    const error = await sent;
    return isSupersimError(error) ? error.code : error;
  };

  it('is reported once as an error of the link, and affects no other', async () => {
    const peer = await openPeer();
    const { transport } = await listening();
    // To port 0, which the source of a datagram may be.
    expect(await codeOf(send(transport, { address: '127.0.0.1', port: 0 }))).toBe('link-down');
    // To an address of the other family.
    expect(await codeOf(send(transport, { address: '::1', port: 6969 }))).toBe('link-down');
    // Too long for UDP.
    expect(await codeOf(send(transport, peer.endpoint, 6969, Buffer.alloc(65_508)))).toBe('link-down');
    // From a port that is not a device port.
    expect(await codeOf(send(transport, peer.endpoint, 6970))).toBe('link-down');
    expect(await send(transport, peer.endpoint)).toBe(undefined);
    expect((await peer.next()).bytes.toString()).toBe('x');
    await transport.stop();
    expect(await codeOf(send(transport, peer.endpoint))).toBe('link-down');
  });
});

describe('a UDP transport without a link', () => {
  it('starts, and logs that it waits for an address', async () => {
    const { transport, recording } = await listening({ listen: 'nosuch0' });
    expect(transport.address()).toBe(undefined);
    expect(recording.withMessage('no link: waiting for an address')).toHaveLength(1);
    expect(await send(transport, { address: '127.0.0.1', port: 6969 })).toMatchObject({ code: 'link-down' });
  });

  it('logs a foreign address, and keeps trying', async () => {
    // TEST-NET-1: it is only bound to; nothing is sent.
    const { transport, recording } = await listening({ listen: '192.0.2.77' });
    expect(transport.address()).toBe(undefined);
    expect(recording.withMessage('cannot listen yet')).toHaveLength(1);
    await recording.times('cannot listen', 1);
  });
});

describe('a UDP port that another process uses', () => {
  it('fails the start with port-in-use, and no port stays open', async () => {
    const address = randomAddress();
    const taken = await openPeer(address, 7001);
    const { start, transport } = create({ listen: address, ports: [7000, 7001, 7002] });
    await expect(start()).rejects.toMatchObject({ code: 'port-in-use' });
    expect(transport.address()).toBe(undefined);
    await openPeer(address, 7000);
    expect(taken.endpoint.port).toBe(7001);
  });
});

describe('a stop of the UDP transport', () => {
  it('waits for sends in progress', async () => {
    const peer = await openPeer();
    const { transport } = await listening();
    let done = 0;
    for (let i = 0; i < 20; i++) transport.send(Buffer.from(String(i)), peer.endpoint, 6969, () => done++);
    await transport.stop();
    expect(done).toBe(20);
    for (let i = 0; i < 20; i++) expect((await peer.next()).bytes.toString()).toBe(String(i));
  });

  it('releases the ports, ends receiving, and may be repeated or precede the start', async () => {
    const { transport, address, received } = await listening();
    await transport.stop();
    await transport.stop();
    expect(transport.address()).toBe(undefined);
    const successor = await openPeer(address, 6969);
    const peer = await openPeer();
    await peer.send('x', successor.endpoint);
    await successor.next();
    expect(received).toEqual([]);
    await create().transport.stop();
  });

  it('at any moment of the start leaves no socket open', async () => {
    const listen = randomAddress();
    const ports = [7000, 7001, 7002];
    for (let moment = 0; moment < 30; moment++) {
      const { start, transport } = create({ listen, ports });
      const started = start();
      for (let i = 0; i < moment; i++) await Promise.resolve();
      // The next one does not start while a socket of the previous one is open.
      await Promise.all([transport.stop(), started]);
      expect(transport.address(), `moment ${moment}`).toBe(undefined);
    }
    for (const port of ports) await openPeer(listen, port);
  });
});

describe('the receive buffer of UDP', () => {
  it('is logged with its actual size, and with the setting to raise when it is smaller than configured', async () => {
    const { recording } = await listening({ receiveBufferBytes: 1_000_000_000 });
    const got = recording.withMessage('listening')[0]?.details['receiveBufferBytes'];
    const [warning] = recording.lines.filter(({ level }) => level === 'warn');
    expect(warning?.details).toEqual({ asked: 1_000_000_000, got });
    expect(warning?.message).toContain('net.core.rmem_max=1000000000');
    const small = await listening({ receiveBufferBytes: 8192 });
    expect(small.recording.lines.filter(({ level }) => level === 'warn')).toEqual([]);
  });

  it.skipIf(!existsSync('/proc/net/udp'))('drops what exceeds it, and every drop is counted', async () => {
    const { address, transport, received } = await listening({ ports: [6969, 7000], receiveBufferBytes: 4096 }, false);
    expect(transport.kernelDrops()).toBe(0);
    const count = 300;
    const flood = createSocket('udp4');
    onTestFinished(() => void flood.close());
    // All are sent before this process reads any.
    const sent = Array.from(
      { length: count },
      (_, index) =>
        new Promise((resolve) => flood.send(Buffer.alloc(1300), index % 2 === 0 ? 6969 : 7000, address, resolve)),
    );
    await Promise.all(sent);
    await vi.waitFor(() => expect(received.length + (transport.kernelDrops() ?? 0)).toBe(count), { timeout: 20_000 });
    const lost = count - received.length;
    expect(lost).toBeGreaterThan(count / 2);
    await transport.stop();
    expect(transport.kernelDrops()).toBe(lost);
  });
});

it('a UDP transport counts successful and failed sends', async () => {
  const counts = createSentCounts();
  const { transport, start } = create({ counts });
  const peer = await openPeer();
  const send = (bytes: string, to: Endpoint) =>
    new Promise((resolve) => transport.send(Buffer.from(bytes), to, 6969, resolve));
  await send('before the start', peer.endpoint);
  await start();
  await send('four', peer.endpoint);
  await send('port 0', { ...peer.endpoint, port: 0 });
  expect(counts).toEqual({ sent: 1, sentBytes: 4, failed: 2 });
});
