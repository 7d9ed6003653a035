import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { allow } from '../../../../agent/doctor/checks/network/allow.js';
import { buffer } from '../../../../agent/doctor/checks/network/buffer.js';
import { networkInterface } from '../../../../agent/doctor/checks/network/interface.js';
import { judgePort, port } from '../../../../agent/doctor/checks/network/port.js';
import { route } from '../../../../agent/doctor/checks/network/route.js';
import { agent as agentCheck, judgeAgent } from '../../../../agent/doctor/checks/service/agent.js';
import { parseUdpTable } from '../../../../agent/doctor/udp-table.js';
import { statusSchema } from '../../../../agent/service/control/schema.js';
import { VERSION } from '../../../../shared/version.js';
import { temporaryFolder } from '../../../support/files.js';
import { needs } from '../../../support/needs.js';
import { startProcess } from '../../../support/process.js';
import { openPeer, randomAddress } from '../../../support/udp.js';
import { startAgent as startRealAgent } from '../../cli/support.js';
import { NOBODY, ROOT, run } from '../support.js';

/** A process that listens on a UDP port, until the test ends. */
async function occupy(address: string, number: number) {
  const program = `require('dgram').createSocket('udp4').bind(${number}, '${address}', () => console.log('bound'))`;
  const running = startProcess(process.execPath, ['-e', program]);
  await running.line(/bound/);
  return running;
}

/** An agent in a process of its own, with its control socket. */
async function startAgent(config = '') {
  const socket = join(temporaryFolder(), 'control.sock');
  const started = await startRealAgent(config, { env: { SUPERSIM_AGENT_CONTROL_SOCKET: socket } });
  await expect.poll(async () => (await run(agentCheck, { control: { socket } }))[0]?.severity).toBe('good');
  return { ...started, socket };
}

describe('port', () => {
  it('is free', async () => {
    expect(await run(port, { listen: { address: randomAddress() } })).toMatchObject([
      { severity: 'good', found: expect.stringContaining('free') },
    ]);
  });

  it.each([
    ['on the same address', (address: string) => address],
    ['on all addresses', () => '0.0.0.0'],
  ])('is taken by a process %s, which is named', async (_where, on) => {
    const address = randomAddress();
    const socket = createSocket('udp4').bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const { port: free } = socket.address();
    socket.close();
    const { pid } = await occupy(on(address), free);
    expect(await run(port, { listen: { address, ports: [free] } })).toMatchObject([
      {
        severity: 'error',
        code: 'port-in-use',
        found: expect.stringContaining(`pid ${pid}`),
        remedy: expect.stringContaining(`kill ${pid}`),
      },
    ]);
  });

  it('is the agent’s own', async () => {
    const { agent, device, socket } = await startAgent();
    const config = { listen: { address: device.address }, control: { socket } };
    expect(await run(port, config)).toMatchObject([
      { severity: 'good', found: expect.stringContaining(`${agent.pid}`) },
    ]);
  });

  it.skipIf(needs('root'))('is taken by whom a user without rights cannot see', async () => {
    const address = randomAddress();
    await occupy(address, 6969);
    process.seteuid?.(NOBODY.uid);
    const found = await run(port, { listen: { address } }).finally(() => process.seteuid?.(0));
    expect(found).toMatchObject([{ severity: 'note', remedy: expect.stringContaining('sudo') }]);
  });

  it('may be one that the agent’s user may not have', async () => {
    const config = { listen: { address: randomAddress(), ports: [69] } };
    const found = await run(port, config, { agent: async () => NOBODY });
    const start = Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'));
    expect(found).toMatchObject([start > 69 ? { severity: 'error', code: 'port-forbidden' } : { severity: 'good' }]);
    expect(await run(port, config, { agent: async () => ROOT })).toMatchObject([{ severity: 'good' }]);
  });

  it('is told of services by their name', () => {
    const holders = [{ pid: 812, command: 'coapd', service: 'coapd.service', certain: true }];
    const takenBy = [{ address: '0.0.0.0', port: 6969, inode: '1', uid: 0, drops: 0, holders }];
    const seen = { isUsed: true, agent: ROOT, pid: undefined, listens: [], unprivileged: 1024, mayListenBelow: false };
    expect(judgePort({ ...seen, ports: [{ port: 6969, takenBy }] })).toMatchObject([
      { severity: 'error', remedy: expect.stringContaining('disable --now coapd.service') },
    ]);
    const ours = takenBy.map((socket) => ({
      ...socket,
      holders: holders.map((holder) => ({ ...holder, service: 'supersim-agent.service' })),
    }));
    expect(judgePort({ ...seen, ports: [{ port: 6969, takenBy: ours }] })).toMatchObject([{ severity: 'good' }]);
  });

  it('reads the kernel’s own tables, IPv6 too', async () => {
    const peer = await openPeer();
    const { address, port: number } = peer.endpoint;
    expect(parseUdpTable(readFileSync('/proc/net/udp', 'latin1'))).toContainEqual(
      expect.objectContaining({ address, port: number, uid: process.getuid?.() }),
    );
    const row =
      '  1: 00000000000000000000000001000000:1B39 00000000000000000000000000000000:0000 07 0:0 00:0 0 5 0 77 2 0 3';
    expect(parseUdpTable(row)).toEqual([{ address: '::1', port: 6969, inode: '77', uid: 5, drops: 3 }]);
  });
});

describe('interface and route', () => {
  it('are good for an address and a name of this machine', async () => {
    const lo = { address: 'lo' };
    const gateway = { address: '127.0.0.1' };
    expect(await run(networkInterface, { listen: lo })).toMatchObject([{ severity: 'good' }]);
    expect(await run(networkInterface, { listen: { address: '127.3.4.5' } })).toMatchObject([{ severity: 'good' }]);
    expect(await run(route, { listen: lo, gateway })).toMatchObject([{ severity: 'good' }]);
    expect(await run(route, { listen: { address: '127.3.4.5' }, gateway })).toMatchObject([{ severity: 'good' }]);
  });

  it('are wrong for an address and a name that are not there, and only worrying where a modem is the other link', async () => {
    const absent = { address: 'wwan77' };
    expect(Object.keys(networkInterfaces())).not.toContain('wwan77');
    expect(await run(networkInterface, { listen: absent })).toMatchObject([{ severity: 'error', code: 'link-down' }]);
    expect(await run(networkInterface, { listen: { address: '192.0.2.77' } })).toMatchObject([{ severity: 'error' }]);
    const spare = { listen: absent, modem: { path: '/dev/nowhere' } };
    expect(await run(networkInterface, spare)).toMatchObject([{ severity: 'warning', code: 'link-down' }]);
    expect(await run(route, { listen: absent, gateway: { address: '127.0.0.1' } })).toMatchObject([
      { severity: 'error', remedy: expect.stringContaining('ip route add 127.0.0.1/32 dev wwan77') },
    ]);
  });

  it('are of no use where only the modem is used', async () => {
    const config = { link: { policy: 'modem' as const }, modem: { path: '/dev/nowhere' } };
    for (const check of [port, networkInterface, route, buffer]) {
      expect(await run(check, config)).toMatchObject([{ severity: 'note' }]);
    }
  });
});

describe('buffer', () => {
  const most = Number(readFileSync('/proc/sys/net/core/rmem_max', 'utf8'));

  it('is as asked, or less than asked', async () => {
    expect(await run(buffer, { listen: { receiveBufferBytes: most } })).toMatchObject([{ severity: 'good' }]);
    expect(await run(buffer, { listen: { receiveBufferBytes: most + 1 } })).toMatchObject([
      { severity: 'warning', remedy: expect.stringContaining(`net.core.rmem_max=${most + 1}`) },
    ]);
  });
});

describe('agent', () => {
  it('does not run', async () => {
    expect(await run(agentCheck)).toMatchObject([
      { severity: 'error', code: 'control-unreachable', remedy: expect.stringContaining('systemctl start') },
    ]);
  });

  it('runs, and its link is up', async () => {
    const { socket, device } = await startAgent();
    expect(await run(agentCheck, { control: { socket } })).toMatchObject([
      { severity: 'good', found: expect.stringContaining(VERSION) },
      { severity: 'good', found: expect.stringContaining(device.address) },
    ]);
  });

  it('is of another version, without a link, and has lost something', () => {
    const status = statusSchema.parse({
      version: '0.0.1',
      pid: 1,
      uptime: 1,
      memory: { rss: 1, heapUsed: 1 },
      cpuSeconds: 1,
      ports: [6969],
      link: {
        name: 'udp',
        since: 0,
        switches: 0,
        links: [
          { name: 'udp', up: false, since: 0, reason: 'there is no address to listen on' },
          { name: 'modem', up: true, since: 0 },
        ],
      },
      running: 0,
      waiting: 5,
      counters: {
        ...{ received: 0, refusedSource: 0, refusedEmpty: 0, refusedOversize: 0, malformed: 0, repeats: 0 },
        ...{ outcomes: {}, sent: 0, unsent: 0, receivedBytes: 0, sentBytes: 0 },
      },
      outbox: { entries: 2, bytes: 20, drops: { count: 0, expired: 3 } },
    });
    const severities = judgeAgent({ socket: 's', status }).map(({ severity }) => severity);
    expect(severities).toEqual(['warning', 'warning', 'good', 'note', 'note', 'warning']);
    const alone = {
      ...status,
      link: { name: 'udp', since: 0, switches: 0, links: [{ name: 'udp', up: false, since: 0 }] },
    };
    expect(judgeAgent({ socket: 's', status: alone })).toContainEqual(
      expect.objectContaining({ severity: 'error', code: 'link-down' }),
    );
  });
});

describe('allow', () => {
  it('has to let the gateway in', async () => {
    const found = await run(allow, { allow: ['10.0.0.0/8'] });
    expect(found[0]).toMatchObject({ severity: 'error', remedy: expect.stringContaining('100.64.0.0/10') });
  });

  it('tells whom the agent that runs has kept out, and what would let them in', async () => {
    const { socket, device } = await startAgent();
    const known = await openPeer();
    const config = { control: { socket }, allow: [`${known.endpoint.address}/32`, '100.64.0.0/10'] };
    expect(await run(allow, config)).toMatchObject([{ severity: 'good' }]);
    // The agent lets in all of 127.0.0.0/8; this is none of a format that it knows.
    await known.ask('#1 ping', device);
    await known.send(Buffer.from([0xff, 0xfe]), device);
    await known.ask('#2 ping', device);
    expect(await run(allow, config)).toMatchObject([
      { severity: 'note', found: expect.stringContaining(`${known.endpoint.address} sent what is no command`) },
    ]);
  });

  it('tells of sources that are not allowed', async () => {
    const only = randomAddress();
    const socket = join(temporaryFolder(), 'control.sock');
    const env = { SUPERSIM_AGENT_CONTROL_SOCKET: socket, SUPERSIM_AGENT_ALLOW: `[${only}/32]` };
    const { device } = await startRealAgent('', { env });
    const friend = await openPeer(only);
    const stranger = await openPeer();
    await stranger.send('#1 ping', device);
    await stranger.send('#2 ping', device);
    await friend.ask('#3 ping', device);
    const { address } = stranger.endpoint;
    const config = { control: { socket }, allow: [`${only}/32`, '100.64.0.0/10'] };
    await expect
      .poll(() => run(allow, config))
      .toMatchObject([
        {
          severity: 'warning',
          found: expect.stringMatching(new RegExp(`${address} is not let in: 2 times`)),
          remedy: expect.stringContaining(`${address}/32`),
        },
      ]);
    // As it would be with what is configured now.
    expect(await run(allow, { ...config, allow: ['127.0.0.0/8', '100.64.0.0/10'] })).toMatchObject([
      { severity: 'note' },
    ]);
  });
});
