import { chmodSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { judgeSerial, serial } from '../../../../../agent/doctor/checks/modem/serial.js';
import { openBy } from '../../../../support/holder.js';
import { needs } from '../../../../support/needs.js';
import { linkPath, openPty } from '../../../../support/pty.js';
import { expectJudgements, NOBODY, ROOT, run } from '../../support.js';

const at = (path: string, more: object = {}) => ({ modem: { path, ...more }, link: { policy: 'udp' as const } });
const as = (agent = ROOT) => ({ agent: async () => agent });

describe.skipIf(needs('python3'))('the doctor’s serial check', () => {
  it('finds a port that exists, is permitted and free', async () => {
    const link = linkPath();
    const { device } = await openPty(link);
    expect(await run(serial, at(link), as())).toMatchObject([
      { severity: 'good', looked: expect.stringContaining(device) },
    ]);
  });

  it('does not apply without a configured port', async () => {
    expect(await run(serial)).toMatchObject([{ severity: 'note' }]);
  });

  it.each([['/dev/nowhere'], ['/dev/null'], ['/etc/passwd']])(
    'reports a missing port and other files: %s',
    async (path) => {
      expect(await run(serial, at(path))).toMatchObject([
        { severity: 'error', code: 'modem-port-missing', remedy: expect.stringContaining('modem probe') },
      ]);
    },
  );

  it('reports a port that the agent may not open', async () => {
    const link = linkPath();
    const { device } = await openPty(link);
    chmodSync(device, 0o600);
    expect(await run(serial, at(device), as(NOBODY))).toMatchObject([
      { severity: 'error', code: 'modem-port-forbidden', remedy: expect.stringMatching(/usermod -a -G \w+ nobody/) },
    ]);
  });

  it('names ModemManager where it has the port open', async () => {
    const link = linkPath();
    const { device } = await openPty(link);
    const pid = await openBy('ModemManager', device);
    expect(await run(serial, at(link), as())).toMatchObject([
      {
        severity: 'error',
        code: 'modem-port-busy',
        found: expect.stringContaining(`ModemManager (pid ${pid}`),
        remedy: expect.stringContaining('78-supersim-modem.rules'),
      },
    ]);
  });
});

type Observation = Parameters<typeof judgeSerial>[0];

const FREE: Observation = {
  path: '/dev/serial0',
  device: '/dev/ttyAMA0',
  status: { uid: 0, gid: 0, mode: 0o20660 },
  isSerial: true,
  agent: NOBODY,
  isPermitted: true,
  holders: [],
  pid: undefined,
  kernel: 'quiet console=tty1',
  others: ['/dev/ttyUSB2'],
};
const holder = (command: string, service?: string) => ({ pid: 9, command, service, certain: true });

describe('judgeSerial', () => {
  it.each<[string, Partial<Observation>, RegExp[]]>([
    ['a free port', {}, [/^good: exists, is permitted to the agent, and free$/]],
    ['no configured port', { path: undefined }, [/^note: no serial port configured/]],
    ['a port that this user may not inspect', { status: 'EACCES', isSerial: false }, [/^note: .*→ Run it with sudo/]],
    [
      'a missing port',
      { status: 'ENOENT', isSerial: false },
      [/^error modem-port-missing: does not exist \(ENOENT\) → Serial ports found: \/dev\/ttyUSB2\. .*modem probe/],
    ],
    [
      'another file, on a machine without serial ports',
      { isSerial: false, others: [] },
      [/^error modem-port-missing: not a serial port → Serial ports found: none\. /],
    ],
    [
      'a port that the agent may not open',
      { isPermitted: false },
      [/^error modem-port-forbidden: .*usermod -a -G \w+ nobody/],
    ],
    ['unknown permissions', { isPermitted: undefined }, [/^good/]],
    [
      'the kernel’s console',
      { kernel: 'console=ttyAMA0,115200 console=tty1' },
      [/^warning modem-port-busy: .*do_serial_cons 1/],
    ],
    [
      'the kernel’s console by alias',
      { kernel: 'quiet console=serial0,115200 root=/dev/mmcblk0p2' },
      [/^warning modem-port-busy: /],
    ],
    ['the alias of another port', { device: '/dev/ttyUSB2', kernel: 'console=serial0,115200' }, [/^good/]],
    ['a console on a port of a similar name', { kernel: 'console=ttyAMA10,115200 console=tty1' }, [/^good/]],
    ['the running agent as its holder', { holders: [holder('node')], pid: 9 }, [/^good/]],
    ['the agent’s service as its holder', { holders: [holder('node', 'supersim-agent.service')] }, [/^good/]],
    [
      'ModemManager as its holder',
      { holders: [holder('minicom'), holder('ModemManager', 'ModemManager.service')] },
      [/^error modem-port-busy: in use by minicom .*, ModemManager .*78-supersim-modem\.rules/],
    ],
    [
      'a login console as its holder',
      { holders: [holder('agetty', 'serial-getty@ttyAMA0.service')] },
      [/^error modem-port-busy: .*disable --now serial-getty@ttyAMA0\.service/],
    ],
    [
      'a service as its holder',
      { holders: [holder('gpsd', 'gpsd.service')] },
      [/^error modem-port-busy: .*disable --now gpsd\.service/],
    ],
    ['a process as its holder', { holders: [holder('minicom')] }, [/^error modem-port-busy: .*`sudo kill 9`/]],
    [
      'everything at once',
      { isPermitted: false, kernel: 'console=ttyAMA0', holders: [holder('minicom')] },
      [/^error modem-port-forbidden/, /^warning modem-port-busy/, /^error modem-port-busy/],
    ],
  ])('judges %s', (_what, change, expected) => {
    expectJudgements(judgeSerial({ ...FREE, ...change }), expected);
  });
});
