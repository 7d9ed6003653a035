import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { judgePort, port } from '../../../../../agent/doctor/checks/network/port.js';
import { needs } from '../../../../support/needs.js';
import { startProcess } from '../../../../support/process.js';
import { randomAddress } from '../../../../support/udp.js';
import { expectJudgements, NOBODY, ROOT, run } from '../../support.js';
import { MODEM_ONLY, startAgent } from './support.js';

/** A process that listens on a UDP port until the test ends. */
async function occupy(address: string, number: number) {
  const program = `require('dgram').createSocket('udp4').bind(${number}, '${address}', () => console.log('bound'))`;
  const running = startProcess(process.execPath, ['-e', program]);
  await running.line(/bound/);
  return running;
}

describe('the doctor’s port check', () => {
  it('finds a free port', async () => {
    expect(await run(port, { listen: { address: randomAddress() } })).toMatchObject([
      { severity: 'good', found: 'free' },
    ]);
  });

  it.each([
    ['on the same address', (address: string) => address],
    ['on all addresses', () => '0.0.0.0'],
  ])('names the process that has taken the port %s', async (_where, on) => {
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

  it('recognises the running agent as the user of the port', async () => {
    const { agent, device, socket } = await startAgent();
    const config = { listen: { address: device.address }, control: { socket } };
    expect(await run(port, config)).toMatchObject([
      { severity: 'good', found: expect.stringContaining(`${agent.pid}`) },
    ]);
  });

  it.skipIf(needs('root'))(
    'tells a user without privileges to run it with sudo where the holder is hidden',
    async () => {
      const address = randomAddress();
      await occupy(address, 6969);
      process.seteuid?.(NOBODY.uid);
      const found = await run(port, { listen: { address } }).finally(() => process.seteuid?.(0));
      expect(found).toMatchObject([{ severity: 'note', remedy: expect.stringContaining('sudo') }]);
    },
  );

  it('does not apply to an agent that uses only the modem', async () => {
    expect(await run(port, MODEM_ONLY)).toMatchObject([{ severity: 'note' }]);
  });

  it('reads the first unprivileged port of the kernel', async () => {
    const config = { listen: { address: randomAddress(), ports: [69] } };
    const found = await run(port, config, { agent: async () => NOBODY });
    const start = Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'));
    expect(found).toMatchObject([start > 69 ? { severity: 'error', code: 'port-forbidden' } : { severity: 'good' }]);
    expect(await run(port, config, { agent: async () => ROOT })).toMatchObject([{ severity: 'good' }]);
  });
});

type Observation = Parameters<typeof judgePort>[0];

const COAPD = { pid: 812, command: 'coapd', service: 'coapd.service', certain: true };
type TakenBy = Observation['ports'][number]['takenBy'][number];
const SOCKET: TakenBy = { address: '0.0.0.0', port: 6969, inode: '1', uid: 0, drops: 0, holders: [COAPD] };
const taken = (change: Partial<TakenBy>) => [{ port: 6969, takenBy: [{ ...SOCKET, ...change }] }];
const FREE: Observation = {
  isUsed: true,
  ports: [{ port: 6969, takenBy: [] }],
  agent: NOBODY,
  pid: undefined,
  listens: [],
  unprivileged: 1024,
  hasBindCapability: false,
};
const LOW = [{ port: 69, takenBy: [] }];

describe('judgePort', () => {
  it.each<[string, Partial<Observation>, RegExp[]]>([
    ['a free port', {}, [/^good: free$/]],
    ['an agent without UDP', { isUsed: false }, [/^note: the agent uses only the modem/]],
    ['every port by itself', { ports: [...FREE.ports, { port: 6970, takenBy: [SOCKET] }] }, [/^good/, /^error/]],
    ['a privileged port', { ports: LOW }, [/^error port-forbidden: free, .* below 1024 → ./]],
    ['a privileged port of root', { ports: LOW, agent: ROOT }, [/^good: free$/]],
    ['a privileged port with CAP_NET_BIND_SERVICE', { ports: LOW, hasBindCapability: true }, [/^good: free$/]],
    ['a privileged port that the kernel opens', { ports: LOW, unprivileged: 0 }, [/^good: free$/]],
    [
      'a port of another service',
      { ports: taken({}) },
      [/^error port-in-use: 0\.0\.0\.0:6969 is in use by coapd .*disable --now coapd\.service`/],
    ],
    [
      'a port of another process',
      { ports: taken({ holders: [{ ...COAPD, service: undefined }] }) },
      [/^error port-in-use: .*`sudo kill 812`/],
    ],
    ['a port of the running agent', { ports: taken({}), pid: 812 }, [/^good: used by the agent: .*process 812$/]],
    [
      'a port of the agent’s service',
      { ports: taken({ holders: [{ ...COAPD, service: 'supersim-agent.service' }] }) },
      [/^good: used by the agent/],
    ],
    [
      'a port without a visible holder that the agent listens on',
      { ports: taken({ holders: [] }), listens: ['0.0.0.0 6969'] },
      [/^good: used by the agent, as its status says/],
    ],
    [
      'a port without a visible holder of the agent’s user',
      { ports: taken({ holders: [], uid: NOBODY.uid }) },
      [/^good: used by a process of the agent’s user nobody/],
    ],
    ['a port of a hidden holder', { ports: taken({ holders: [] }) }, [/^note: .* may not see → Run it with sudo/]],
    [
      'a port of a hidden holder of root, where the agent is root’s',
      { ports: taken({ holders: [] }), agent: ROOT },
      [/^note: /],
    ],
  ])('judges %s', (_what, change, expected) => {
    expectJudgements(judgePort({ ...FREE, ...change }), expected);
  });
});
