import type { NetworkInterfaceInfo } from 'node:os';
import { expect, it, onTestFinished, vi } from 'vitest';
import { createAgent } from '../../agent/index.js';
import { heldHandler } from '../agent/command/wired-support.js';
import { temporaryFolder } from '../support/files.js';
import { recordingLog } from '../support/log.js';
import { openPeer, randomAddress } from '../support/udp.js';

/** The address of `wwan0`, while it has one. */
const link: { address: string | undefined } = vi.hoisted(() => ({ address: undefined }));

vi.mock('node:os', async (importOriginal) => {
  const os = await importOriginal<typeof import('node:os')>();
  return {
    ...os,
    networkInterfaces() {
      const { address } = link;
      if (address === undefined) return {};
      const info: NetworkInterfaceInfo = {
        address,
        family: 'IPv4',
        internal: false,
        mac: '',
        netmask: '255.0.0.0',
        cidr: `${address}/8`,
      };
      return { wwan0: [info] };
    },
  };
});

it('replies and events wait while the interface has no address, and are sent in order from its next one', async () => {
  const gateway = await openPeer();
  const held = heldHandler();
  const { log, times } = recordingLog();
  const agent = createAgent({
    config: {
      listen: { address: 'wwan0', receiveBufferBytes: 65_536 },
      gateway: gateway.endpoint,
      allow: ['127.0.0.0/8'],
      state: { folder: temporaryFolder() },
    },
    handlers: [held.handler],
    log,
  });
  onTestFinished(() => agent.stop());
  await agent.start();
  expect(agent.status().address).toBeUndefined();
  await agent.emit('boot');

  const first = randomAddress();
  link.address = first;
  expect((await gateway.next()).bytes.toString()).toBe('{"event":"boot"}');
  await gateway.send('#1 hold', { address: first, port: 6969 });
  await held.running;

  link.address = undefined;
  await times('link down', 1);
  await agent.emit('before');
  held.release('x');
  await times('command', 1);
  await agent.emit('after');
  expect(agent.status()).toMatchObject({ outbox: { entries: 3 } });
  expect(await gateway.everythingSoFar()).toEqual([]);

  const second = randomAddress();
  link.address = second;
  const left = [await gateway.next(), await gateway.next(), await gateway.next()];
  expect(left.map(({ bytes }) => bytes.toString())).toEqual(['{"event":"before"}', '#1 ok x', '{"event":"after"}']);
  expect(left.map(({ source }) => source)).toEqual(Array(3).fill({ address: second, port: 6969 }));
  expect((await gateway.ask('#2 ping', { address: second, port: 6969 })).toString()).toBe('#2 ok pong');
  expect(agent.status()).toMatchObject({ outbox: { entries: 0, bytes: 0 } });
});
