import { describe, expect, test } from 'vitest';
import type { Finding } from '../../agent/doctor/finding.js';
import { environment } from '../agent/cli/support.js';
import { temporaryFolder, writeFile } from '../support/files.js';
import { type Host, twoHosts } from '../support/namespaces.js';
import { needs } from '../support/needs.js';
import { program } from '../support/process.js';

function writeConfig(): string {
  const folder = temporaryFolder();
  const config = { state: { folder }, control: { socket: `${folder}/control.sock` } };
  return writeFile(folder, 'config.yaml', JSON.stringify(config));
}

/** What the doctor finds on a host, by the names of its checks. */
async function examine(host: Host, config: string): Promise<(check: string) => Finding | undefined> {
  const args = [program('supersim-agent'), 'doctor', '--json', '--config', config];
  const running = host.start(process.execPath, args, environment());
  await running.ended;
  const { findings }: { findings: Finding[] } = JSON.parse(running.output());
  return (check) => findings.find((finding) => finding.check === check);
}

/** Does what the remedy says, as it says it. */
async function follow(host: Host, finding: Finding | undefined): Promise<void> {
  const line = /`sudo ([^`]+)`/.exec(finding?.remedy ?? '')?.[1] ?? 'false';
  const running = host.start('sh', ['-c', line]);
  expect([line, await running.ended, running.output()]).toEqual([line, 0, '']);
}

async function runOn(host: Host, ...command: readonly string[]): Promise<void> {
  const [file = '', ...args] = command;
  const running = host.start(file, args);
  expect([command, await running.ended, running.output()]).toEqual([command, 0, '']);
}

describe.skipIf(needs('root', 'ip', 'nft', 'iptables-save'))('the network of a gateway', () => {
  test('is mended step by step, by what the doctor says', async () => {
    const [device] = twoHosts();
    const config = writeConfig();
    const without = await examine(device, config);
    expect(without('interface')).toMatchObject({
      severity: 'error',
      code: 'link-down',
      found: expect.stringContaining('wwan0'),
    });
    expect(without('route')).toMatchObject({ severity: 'error', code: 'link-down' });

    device.ip('address', 'add', '10.64.3.4/24', 'dev', 'wwan0');
    const noRoute = await examine(device, config);
    expect(noRoute('interface')).toMatchObject({ severity: 'good', found: expect.stringContaining('10.64.3.4') });
    expect(noRoute('route')).toMatchObject({
      severity: 'error',
      remedy: expect.stringContaining('sudo ip route add 100.64.0.1/32 dev wwan0'),
    });
    await follow(device, noRoute('route'));
    const routed = await examine(device, config);
    expect(routed('route')).toMatchObject({ severity: 'good', found: expect.stringContaining('wwan0') });
    expect(routed('firewall')).toMatchObject({ severity: 'good' });

    await runOn(device, 'nft', 'add table inet filter');
    await runOn(device, 'nft', 'add chain inet filter input { type filter hook input priority 0; policy drop; }');
    const closed = await examine(device, config);
    expect(closed('firewall')).toMatchObject({
      severity: 'error',
      found: expect.stringContaining('inet filter input'),
    });
    await follow(device, closed('firewall'));
    expect((await examine(device, config))('firewall')).toMatchObject({ severity: 'good' });

    await runOn(device, 'iptables', '-A', 'OUTPUT', '-p', 'udp', '-j', 'REJECT');
    const deaf = await examine(device, config);
    expect(deaf('firewall')).toMatchObject({ severity: 'error', found: expect.stringContaining('replies') });
    await follow(device, deaf('firewall'));
    expect((await examine(device, config))('firewall')).toMatchObject({ severity: 'good' });
  }, 60_000);

  test('on a gateway with Ethernet, the route is not by that', async () => {
    const [device] = twoHosts();
    const config = writeConfig();
    device.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'switch');
    device.ip('link', 'set', 'switch', 'up');
    device.ip('link', 'set', 'eth0', 'up');
    device.ip('address', 'add', '192.168.1.5/24', 'dev', 'eth0');
    device.ip('route', 'add', 'default', 'via', '192.168.1.1');
    const wrong = await examine(device, config);
    expect(wrong('interface')).toMatchObject({ severity: 'error' });
    device.ip('address', 'add', '10.64.3.4/24', 'dev', 'wwan0');
    const byEthernet = await examine(device, config);
    expect(byEthernet('route')).toMatchObject({ severity: 'error', found: expect.stringContaining('eth0') });
    await follow(device, byEthernet('route'));
    expect((await examine(device, config))('route')).toMatchObject({ severity: 'good' });
  }, 60_000);
});
