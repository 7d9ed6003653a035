import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { isCellular, isLoopbackAddress, isSimAddress, simAddresses } from '../../../agent/transport/cellular.js';

vi.mock('node:fs', { spy: true });
vi.mock('node:os', { spy: true });

describe('a cellular interface', () => {
  it.each(['wwan0', 'wwp0s20u4i4', 'ppp0', 'rmnet0'])('is known by its name: %s', (name) => {
    expect(isCellular(name)).toBe(true);
  });

  it('is known by the type that its driver gives it', () => {
    vi.mocked(readFileSync).mockReturnValue('DEVTYPE=wwan\nINTERFACE=usb0\nIFINDEX=7\n');
    onTestFinished(() => void vi.mocked(readFileSync).mockReset());
    expect(isCellular('usb0')).toBe(true);
    vi.mocked(readFileSync).mockReturnValue('DEVTYPE=wlan\nINTERFACE=usb0\nIFINDEX=7\n');
    expect(isCellular('usb0')).toBe(false);
  });

  it.each(['eth0', 'wlan0', 'lo', 'usb0', 'tun0', 'nosuch0', '../../etc'])('is not %s', (name) => {
    expect(isCellular(name)).toBe(false);
  });
});

const LINK_LOCAL = ['169.254.0.1', '169.254.255.255', 'fe80::1', 'fe80::1%wwan0', 'FE80::1', 'febf::1', 'feb0::5%ppp0'];
const MAPPED = ['::ffff:127.0.0.1', '::FFFF:127.1.2.3', '::ffff:169.254.7.7'];
const OTHERS = ['100.64.7.7', '10.64.3.4', '192.168.1.5', '169.253.0.1', '2001:db8::1', 'fd00::1', 'fec0::1'];

describe('an address of a SIM', () => {
  it.each(['127.0.0.1', '127.255.255.254', '::1', '0:0:0:0:0:0:0:1', ...LINK_LOCAL, ...MAPPED])(
    'is never %s',
    (address) => {
      expect(isSimAddress(address)).toBe(false);
    },
  );

  it.each([...OTHERS, '::ffff:100.64.7.7'])('may be %s', (address) => {
    expect(isSimAddress(address)).toBe(true);
    expect(isLoopbackAddress(address)).toBe(false);
  });

  it('is of the gateway’s IP version, and a loopback address only where the gateway has one', () => {
    const entry = (address: string, family: 'IPv4' | 'IPv6') => ({
      ...{ address, netmask: '', mac: '', internal: false, cidr: null },
      ...(family === 'IPv4' ? { family } : { family, scopeid: 0 }),
    });
    const all = [
      ...['169.254.1.1', '10.64.3.4', '127.0.0.1'].map((address) => entry(address, 'IPv4')),
      ...['fe80::1', '2001:db8::4', '::1'].map((address) => entry(address, 'IPv6')),
    ];
    vi.mocked(networkInterfaces).mockReturnValue({ wwan0: all });
    onTestFinished(() => void vi.mocked(networkInterfaces).mockReset());
    expect(simAddresses('wwan0', '100.64.0.1')).toEqual(['10.64.3.4']);
    expect(simAddresses('wwan0', '2001:db8::1')).toEqual(['2001:db8::4']);
    expect(simAddresses('wwan0', '127.0.0.9')).toEqual(['10.64.3.4', '127.0.0.1']);
    expect(simAddresses('eth0', '100.64.0.1')).toEqual([]);
  });
});
