import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { judgeModem, modem } from '../../../../agent/doctor/checks/modem/modem.js';
import { judgeSerial, serial } from '../../../../agent/doctor/checks/modem/serial.js';
import { start as startLoopback } from '../../../loopback/support.js';
import { temporaryFolder, writeFile } from '../../../support/files.js';
import { openBy } from '../../../support/holder.js';
import { needs } from '../../../support/needs.js';
import { program, startProcess } from '../../../support/process.js';
import { linkPath, openPty } from '../../../support/pty.js';
import { environment } from '../../cli/support.js';
import { NOBODY, ROOT, run } from '../support.js';

const at = (path: string, more: object = {}) => ({ modem: { path, ...more }, link: { policy: 'udp' as const } });
const as = (agent = ROOT) => ({ agent: async () => agent });

describe.skipIf(needs('python3'))('serial', () => {
  it('is good when the port is there, permitted and free', async () => {
    const link = linkPath();
    const { device } = await openPty(link);
    expect(await run(serial, at(link), as())).toMatchObject([
      { severity: 'good', looked: expect.stringContaining(device) },
    ]);
  });

  it('is of no use where no port is configured', async () => {
    expect(await run(serial)).toMatchObject([{ severity: 'note' }]);
    expect(await run(modem)).toMatchObject([{ severity: 'note' }]);
  });

  it.each([['/dev/nowhere'], ['/dev/null'], ['/etc/passwd']])('is not there: %s', async (path) => {
    expect(await run(serial, at(path))).toMatchObject([
      { severity: 'error', code: 'modem-port-missing', remedy: expect.stringContaining('modem probe') },
    ]);
  });

  it('is not the agent’s to open', async () => {
    const link = linkPath();
    const { device } = await openPty(link);
    chmodSync(device, 0o600);
    expect(await run(serial, at(device), as(NOBODY))).toMatchObject([
      { severity: 'error', code: 'modem-port-forbidden', remedy: expect.stringMatching(/usermod -a -G \w+ nobody/) },
    ]);
  });

  it('is ModemManager’s, who is named', async () => {
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

  it('is a login console’s, or the kernel’s', () => {
    const seen = {
      ...{ path: '/dev/serial0', device: '/dev/ttyAMA0', status: { uid: 0, gid: 20, mode: 0o660 }, isSerial: true },
      ...{ agent: ROOT, isPermitted: true, holders: [], pid: undefined, kernel: '', others: [] },
    };
    expect(judgeSerial(seen)).toMatchObject([{ severity: 'good' }]);
    const service = 'serial-getty@ttyAMA0.service';
    const holders = [{ pid: 5, command: 'agetty', service, certain: true }];
    expect(judgeSerial({ ...seen, holders })).toMatchObject([
      { severity: 'error', code: 'modem-port-busy', remedy: expect.stringContaining(`disable --now ${service}`) },
    ]);
    for (const kernel of ['console=ttyAMA0,115200 console=tty1', 'quiet console=serial0,115200 root=/dev/mmcblk0p2']) {
      expect(judgeSerial({ ...seen, kernel })).toMatchObject([
        { severity: 'warning', remedy: expect.stringContaining('do_serial_cons 1') },
      ]);
    }
    expect(judgeSerial({ ...seen, kernel: 'console=ttyAMA10,115200 console=tty1' })).toMatchObject([
      { severity: 'good' },
    ]);
    expect(judgeSerial({ ...seen, holders: [{ pid: 9, command: 'node', certain: true }], pid: 9 })).toMatchObject([
      { severity: 'good' },
    ]);
  });
});

/** A virtual modem that has attached. */
async function startModem() {
  const path = linkPath();
  const { modem: virtual, events } = await startLoopback({ modem: { dialect: 'quectel', path } });
  await events.take((event) => event.type === 'sim' && event.state === 'active');
  if (virtual === undefined) throw new Error('the loopback has no modem');
  return { path, virtual };
}

describe.skipIf(needs('python3', 'node-pty'))('modem', () => {
  it('is asked by its port while no agent has it', async () => {
    const { path } = await startModem();
    expect(await run(modem, at(path))).toMatchObject([
      { severity: 'good', looked: expect.stringContaining('by its port'), found: expect.stringContaining('23415') },
      { severity: 'good', found: 'signal -97 dBm' },
    ]);
  });

  it('tells of its SIM, its network and its signal', async () => {
    const { path, virtual } = await startModem();
    virtual.setSignal(-125);
    expect(await run(modem, at(path))).toContainEqual(
      expect.objectContaining({ severity: 'warning', remedy: expect.stringContaining('antenna') }),
    );
    virtual.setRegistration('denied');
    expect((await run(modem, at(path)))[0]).toMatchObject({
      severity: 'error',
      remedy: expect.stringContaining('SIM is active'),
    });
    virtual.setRegistration('searching');
    expect((await run(modem, at(path)))[0]).toMatchObject({ severity: 'error', code: 'link-down' });
    virtual.setSim('pin');
    expect((await run(modem, at(path)))[0]).toMatchObject({
      severity: 'error',
      remedy: expect.stringContaining('modem.pin'),
    });
    virtual.setSim('absent');
    expect((await run(modem, at(path)))[0]).toMatchObject({
      severity: 'error',
      found: expect.stringContaining('SIM not inserted'),
    });
  }, 40_000);

  it('has another APN', async () => {
    const { path } = await startModem();
    const network = { sim: 'READY', registration: 'home' as const, attached: true, signalDbm: -80, apn: 'internet' };
    const seen = { path, via: 'port' as const, apn: 'super', hasPin: false };
    expect(judgeModem({ ...seen, modem: network })).toContainEqual(
      expect.objectContaining({ severity: 'warning', found: expect.stringContaining('internet') }),
    );
    const same = judgeModem({ ...seen, modem: { ...network, apn: 'super.MNC015.MCC234.GPRS' } });
    expect(same.map(({ severity }) => severity)).toEqual(['good', 'good']);
    expect(judgeModem({ ...seen, modem: { ...network, attached: false } })).toContainEqual(
      expect.objectContaining({ severity: 'error', remedy: expect.stringContaining('83401') }),
    );
    expect(judgeModem({ ...seen, modem: { ...network, sim: 'SIM PUK' } })[0]).toMatchObject({ severity: 'error' });
    expect(judgeModem({ ...seen, hasPin: true, modem: { ...network, sim: 'SIM PIN' } })[0]).toMatchObject({
      severity: 'error',
      found: expect.stringContaining('not taken'),
    });
  });

  it('is silent, or somebody has it', async () => {
    const silent = linkPath();
    await openPty(silent);
    expect(await run(modem, at(silent))).toMatchObject([{ severity: 'error', code: 'modem-silent' }]);
    const locked = linkPath();
    const { pid } = await openPty(locked, 'locked');
    expect(await run(modem, at(locked))).toMatchObject([
      { severity: 'error', code: 'modem-port-busy', found: expect.stringContaining(`pid ${pid}`) },
    ]);
  });

  it('is asked through the agent while that uses it, which is not disturbed', async () => {
    const { path, virtual } = await startModem();
    const folder = temporaryFolder();
    const socket = join(folder, 'control.sock');
    const config = { modem: { path }, link: { policy: 'modem' as const }, control: { socket }, state: { folder } };
    const file = writeFile(folder, 'config.yaml', JSON.stringify(config));
    const agent = startProcess(process.execPath, [program('supersim-agent'), 'run', '--config', file], environment());
    onTestFinished(() => agent.kill('SIGKILL'));
    await agent.line(/"modem up"/);
    expect(await run(serial, config)).toMatchObject([{ severity: 'good' }]);
    expect(await run(modem, config)).toMatchObject([
      { severity: 'good', looked: expect.stringContaining('through the agent') },
      { severity: 'good', found: 'signal -97 dBm' },
    ]);
    virtual.setSignal(-130);
    expect(await run(modem, config)).toContainEqual(expect.objectContaining({ severity: 'warning' }));
    expect(agent.output()).not.toContain('"modem down"');
  }, 60_000);
});
