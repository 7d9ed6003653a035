import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { probePorts } from '../../../../../agent/transport/modem/console/probe.js';
import { DIALECT_NAMES } from '../../../../../loopback/index.js';
import { start as startLoopback } from '../../../../loopback/support.js';
import { openBy } from '../../../../support/holder.js';
import { needs } from '../../../../support/needs.js';
import { asNobody } from '../../../../support/nobody.js';
import { linkPath, openPty, type Pty } from '../../../../support/pty.js';

const BAUD = 115_200;

/** A virtual modem that has attached. */
async function startModem(dialect: (typeof DIALECT_NAMES)[number], faults = {}) {
  const { modem, events } = await startLoopback({ modem: { dialect, faults, seed: 7 } });
  await events.take((event) => event.type === 'sim' && event.state === 'active');
  return { path: modem?.path ?? '', modem };
}

/** A terminal that says something all the time. */
async function chatter(text: string): Promise<string> {
  const link = linkPath();
  const pty = await openPty(link);
  const timer = setInterval(() => pty.send(Buffer.from(text, 'latin1')), 50);
  onTestFinished(() => clearInterval(timer));
  return link;
}

/** A modem of a few answers, which does not understand the first commands. */
function answer(pty: Pty, answers: Readonly<Record<string, string>>, deafTo = 0): void {
  let done = deafTo;
  const timer = setInterval(() => {
    const commands = pty.received().toString('latin1').split('\r').slice(0, -1);
    for (const command of commands.slice(done)) pty.send(Buffer.from(answers[command] ?? '\r\nERROR\r\n', 'latin1'));
    done = Math.max(done, commands.length);
  }, 5);
  onTestFinished(() => clearInterval(timer));
}

describe.skipIf(needs('python3'))('a probe of serial ports', () => {
  it.each(DIALECT_NAMES)('finds a modem and reads its state: %s', async (dialect) => {
    const { path } = await startModem(dialect);
    const { ports, modem } = await probePorts([path], BAUD);
    expect(ports).toEqual([{ path, kind: 'at' }]);
    expect(modem).toMatchObject({ path, dialect, sim: 'READY', registration: 'roaming', attached: true });
    expect(modem).toMatchObject({ operator: '23415', signalDbm: -97, iccid: expect.stringMatching(/^8988\d{15,16}$/) });
    expect(modem?.address).toMatch(/^127\.0\.0\.\d+$/);
    expect(modem?.imei).toMatch(/^\d{15}$/);
  });

  it('reports a missing SIM, and no network', async () => {
    const { path, modem: virtual } = await startModem('quectel');
    virtual?.setSim('absent');
    const { modem } = await probePorts([path], BAUD);
    expect(modem).toMatchObject({ dialect: 'quectel', sim: '+CME ERROR: 10', attached: false });
    expect(modem?.address).toBeUndefined();
  });

  it('tells positions, diagnostics, other output and silence from AT commands, and inspects the first modem only', async () => {
    const nmea = await chatter('$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A\r\n');
    const diag = await chatter('\x01\x02\x7e\x10\x98\x7e');
    const other = await chatter('gateway login: ');
    const silent = linkPath();
    await openPty(silent);
    const { path } = await startModem('simcom7600');
    const { path: second } = await startModem('quectel');
    const { ports, modem } = await probePorts([nmea, diag, other, silent, path, second], BAUD);
    expect(ports.map(({ kind }) => kind)).toEqual(['nmea', 'diag', 'other', 'silent', 'at', 'at']);
    expect(modem).toMatchObject({ path, dialect: 'simcom7600' });
  });

  it('finds a modem with automatic baud rate whose answer comes amid garbage', async () => {
    const link = linkPath();
    const ok = '\xff\0\r\nOK\r\n';
    answer(await openPty(link), { AT: ok, ATE0: ok, 'AT+CGMM': `\r\nEC25\r\n${ok}` }, 2);
    const { ports, modem } = await probePorts([link], BAUD);
    expect(ports).toEqual([{ path: link, kind: 'at' }]);
    expect(modem).toMatchObject({ model: 'EC25', dialect: 'quectel', sim: 'ERROR', registration: 'unknown' });
  });

  it('recognises an unsupported modem', async () => {
    const link = linkPath();
    const ok = '\r\nOK\r\n';
    answer(await openPty(link), {
      AT: ok,
      ATE0: ok,
      'AT+CMEE=1': ok,
      'AT+CGMM': `\r\nSIM800L\r\n${ok}`,
      'AT+CCID': `\r\n8988307000000000001F\r\n${ok}`,
      'AT+CPIN?': `\r\n+CPIN: SIM PIN\r\n${ok}`,
    });
    const { modem } = await probePorts([link], BAUD);
    expect(modem).toMatchObject({
      model: 'SIM800L',
      sim: 'SIM PIN',
      iccid: '8988307000000000001',
      registration: 'unknown',
    });
    expect(modem?.unsupported).toContain('SIMCom');
    expect(modem?.dialect).toBeUndefined();
  });

  it('does not touch a port that another program has locked, and names the program', async () => {
    const link = linkPath();
    const pty = await openPty(link, 'locked');
    const { ports } = await probePorts([link], BAUD);
    expect(ports).toMatchObject([
      { path: link, kind: 'unusable', error: { code: 'modem-port-busy' }, holders: [{ pid: pty.pid }] },
    ]);
    expect(pty.received()).toHaveLength(0);
  });

  it('does not touch a port that ModemManager has open, and gives a remedy', async () => {
    const link = linkPath();
    const pty = await openPty(link);
    const pid = await openBy('ModemManager', pty.device);
    const [port] = (await probePorts([link], BAUD)).ports;
    expect(port).toMatchObject({ kind: 'unusable', error: { code: 'modem-port-busy' } });
    expect(port?.holders).toContainEqual(expect.objectContaining({ pid, command: 'ModemManager' }));
    expect(port?.error?.message).toContain(`ModemManager (pid ${pid}`);
    expect(port?.error?.remedy).toContain('udev');
    expect(pty.received()).toHaveLength(0);
  });

  it.skipIf(needs('root'))('reports a forbidden port with the user, and continues', async () => {
    const [first, second] = [linkPath(), linkPath()];
    const forbidden = await openPty(first);
    chmodSync(forbidden.device, 0o600);
    const open = await openPty(second);
    chmodSync(open.device, 0o666);
    for (const link of [first, second]) chmodSync(join(link, '..'), 0o755);
    const { ports } = await asNobody(() => probePorts([first, second], BAUD));
    expect(ports).toMatchObject([
      { kind: 'unusable', error: { code: 'modem-port-forbidden', remedy: expect.stringContaining('dialout') } },
      { kind: 'silent' },
    ]);
  });

  it('continues when a port is missing or disappears meanwhile', async () => {
    const link = linkPath();
    const pty = await openPty(link);
    const probed = probePorts(['/dev/nowhere', link], BAUD);
    await pty.receive(3);
    await pty.vanish();
    expect((await probed).ports).toMatchObject([
      { error: { code: 'modem-port-missing' } },
      { error: { code: 'modem-port-lost' } },
    ]);
  });
});
