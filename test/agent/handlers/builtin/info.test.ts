import { networkInterfaces } from 'node:os';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { info } from '../../../../agent/handlers/builtin/info.js';
import { VERSION } from '../../../../shared/version.js';
import { MODEM_HEALTH } from '../../../support/links.js';
import { expectToFit, link, run } from './support.js';

vi.mock('node:os', { spy: true });

describe('the command info', () => {
  it('reports the device’s identity', async () => {
    const told = await run(info('box-1'));
    expect(Object.keys(Object(told))).toEqual([
      'device',
      'agent',
      'agentUptime',
      'uptime',
      'bootId',
      'addresses',
      'model',
      'os',
      'kernel',
      'node',
    ]);
    expect(told).toMatchObject({
      device: 'box-1',
      agent: VERSION,
      agentUptime: expect.any(Number),
      bootId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      kernel: expect.stringContaining(process.arch),
      node: process.versions.node,
    });
    expect(JSON.stringify(told)).not.toMatch(/\\[n0u]/);
  });

  it('fits into one datagram in each format on a device with many containers and a long name', async () => {
    const address = (name: string, host: string) => ({ address: host, internal: name === 'lo' });
    const many = Array.from({ length: 60 }, (_, index): [string, unknown[]] => {
      const name = index === 0 ? 'lo' : `veth0123abc@${index}`.slice(0, 15);
      const hosts = ['fe80::1234:56ff:fe78:9abc', '2001:0db8:1111:2222:3333:4444:5555:6666', '100.64.0.2'];
      return [name, hosts.map((host) => address(name, host))];
    });
    vi.mocked(networkInterfaces).mockReturnValue(JSON.parse(JSON.stringify(Object.fromEntries(many))));
    onTestFinished(() => void vi.mocked(networkInterfaces).mockReset());
    const told = await run(info('ü'.repeat(64)));
    expect(told).toMatchObject({ addresses: expect.stringContaining('veth0123abc@1=2001:') });
    expect(told).not.toMatchObject({ addresses: expect.stringMatching(/lo=|fe80/) });
    expectToFit(told);
  });

  it('reports the modem and the SIM while another link is in use', async () => {
    const told = await run(info('box-1', link));
    const { model, imei, iccid } = MODEM_HEALTH;
    expect(told).toMatchObject({ link: 'udp', modem: model, imei, iccid });
    expectToFit(told);
  });
});
