import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { isSimAddress } from '../../../../agent/transport/cellular.js';
import { createSelfTest } from '../../../../agent/transport/udp/self-test.js';
import { recordingLog } from '../../../support/log.js';
import { randomAddress } from '../../../support/udp.js';

vi.mock('../../../../agent/transport/cellular.js', { spy: true });

const PORT = 6969;

/** A device port on a loopback address, which counts as a SIM's here. */
async function open({ isFiltered }: { isFiltered: boolean }) {
  vi.mocked(isSimAddress).mockReturnValue(true);
  onTestFinished(() => void vi.mocked(isSimAddress).mockReset());
  const { log, lines } = recordingLog();
  const test = createSelfTest([PORT], log);
  const address = randomAddress();
  const socket = createSocket('udp4');
  const others: Buffer[] = [];
  // What a packet filter drops is not seen either.
  socket.on('message', (bytes, remote) => {
    if (!isFiltered && !test.take(bytes, remote)) others.push(bytes);
  });
  socket.bind(PORT, address);
  await once(socket, 'listening');
  onTestFinished(() => void socket.close());
  return { test, address, others, messages: () => lines.map(({ message }) => message) };
}

describe('the test with a datagram of this host itself', () => {
  it('tells that it arrives, and keeps it from everybody else', async () => {
    const { test, address, others, messages } = await open({ isFiltered: false });
    await test.check(address);
    expect([test.arrives, others]).toEqual([true, []]);
    expect(messages()).toEqual([expect.stringMatching(/^device ports: open to other interfaces/)]);
  });

  it('tells that it is dropped', async () => {
    const { test, address, messages } = await open({ isFiltered: true });
    await test.check(address);
    expect(test.arrives).toBe(false);
    expect(messages()).toEqual(['device ports: closed to this host itself']);
  });

  it('does not know without a socket at the device port, and without an address of a network', async () => {
    const { test } = await open({ isFiltered: true });
    await test.check(randomAddress());
    expect(test.arrives).toBe(undefined);
    for (const address of [undefined, '0.0.0.0', '::']) await test.check(address);
    expect(test.arrives).toBe(undefined);
    vi.mocked(isSimAddress).mockReset();
    await test.check('127.0.0.1');
    expect(test.arrives).toBe(undefined);
  });

  it('counts once a minute, until the rules change or the ports are closed', async () => {
    const { test, address } = await open({ isFiltered: false });
    await test.check(address);
    await test.check(address);
    expect(test.arrives).toBe(true);
    const again = test.check(address, Date.now() + 1);
    expect(test.arrives).toBe(undefined);
    await again;
    expect(test.arrives).toBe(true);
    test.reset();
    expect(test.arrives).toBe(undefined);
  });

  it('leaves other datagrams alone, empty ones too', async () => {
    const { test, address } = await open({ isFiltered: false });
    await test.check(address);
    const remote = { address, family: 'IPv4' as const, port: 1, size: 0 };
    expect(test.take(Buffer.alloc(0), remote)).toBe(false);
    expect(test.take(Buffer.from('ping'), remote)).toBe(false);
  });
});
