import { expect, test } from 'vitest';
import { temporaryFolder, writeFile } from '../support/files.js';
import { type Host, twoHosts } from '../support/namespaces.js';
import { needs } from '../support/needs.js';
import { program, type Running } from '../support/process.js';

const CREDENTIALS = { SUPERSIM_ACCOUNT_SID: `AC${'5'.repeat(32)}`, SUPERSIM_AUTH_TOKEN: 'secret' };

/** As on a device: nothing of the agent's configuration is given, and systemd has made its folder. */
const deviceEnvironment = () => ({
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SUPERSIM_'))),
  STATE_DIRECTORY: temporaryFolder(),
});

const simsFile = (text: string): string => writeFile(temporaryFolder(), 'sims.yaml', text);

function startNetwork(network: Host, sims: string): Running {
  const args = [program('supersim'), 'loopback', '--gateway', '100.64.0.1:6969', '--sims', sims];
  return network.start(process.execPath, args, { ...process.env, ...CREDENTIALS });
}

async function send(network: Host, sim: string, payload: string): Promise<void> {
  const args = [program('supersim'), 'send', '--sim', sim, payload];
  const env = { ...process.env, ...CREDENTIALS, SUPERSIM_API_URL: 'http://127.0.0.1:8080' };
  expect(await network.start(process.execPath, args, env).ended).toBe(0);
}

test.skipIf(needs('root', 'ip'))(
  'the agent without flags answers on the cellular interface, and follows it when it goes and comes back with another address',
  async () => {
    const [network, device] = twoHosts();
    network.ip('address', 'add', '100.64.0.1/10', 'dev', 'wwan0');
    const loopback = startNetwork(
      network,
      simsFile('- { name: before, address: 100.64.0.123 }\n- { name: after, address: 100.64.7.9 }\n'),
    );
    await loopback.line(/^ready/);
    const agent = device.start(process.execPath, [program('supersim-agent'), 'run'], deviceEnvironment());
    await agent.line(/"no link: waiting for an address"/);

    device.ip('address', 'add', '100.64.0.123/10', 'dev', 'wwan0');
    await agent.line(/"address":"100\.64\.0\.123".*"listening"/);
    await send(network, 'before', '#1 ping');
    await loopback.line(/← before:6969 received 10 bytes "#1 ok pong"/);

    device.ip('address', 'flush', 'dev', 'wwan0');
    device.ip('link', 'set', 'wwan0', 'down');
    await agent.line(/"link down"/);
    device.ip('link', 'set', 'wwan0', 'up');
    device.ip('address', 'add', '100.64.7.9/10', 'dev', 'wwan0');
    await agent.line(/"address":"100\.64\.7\.9".*"listening"/);
    await send(network, 'after', '#2 ping');
    await loopback.line(/← after:6969 received 10 bytes "#2 ok pong"/);

    agent.kill('SIGTERM');
    expect(await agent.ended).toBe(0);
  },
);

test.skipIf(needs('root', 'ip'))('an interface can be named, and is followed', async () => {
  const [network, device] = twoHosts();
  network.ip('address', 'add', '100.64.0.1/10', 'dev', 'wwan0');
  const loopback = startNetwork(network, simsFile('- { name: gateway-1, address: 100.64.0.77 }\n'));
  await loopback.line(/^ready/);
  const args = [program('supersim-agent'), 'run', '--address', 'wwan0'];
  const agent = device.start(process.execPath, args, deviceEnvironment());
  await agent.line(/"no link: waiting for an address"/);
  device.ip('address', 'add', '100.64.0.77/10', 'dev', 'wwan0');
  await agent.line(/"address":"100\.64\.0\.77".*"listening"/);
  await send(network, 'gateway-1', '#1 ping');
  await loopback.line(/← gateway-1:6969 received 10 bytes "#1 ok pong"/);
});
