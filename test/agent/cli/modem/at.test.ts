import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { start as startLoopback } from '../../../loopback/support.js';
import { needs } from '../../../support/needs.js';
import { program } from '../../../support/process.js';
import { linkPath, openPty } from '../../../support/pty.js';
import { environment, supersimAgent } from '../support.js';

/** A virtual modem that has attached, on a tty. */
async function startModem() {
  const path = linkPath();
  const { modem, events } = await startLoopback({ modem: { dialect: 'quectel', path } });
  await events.take((event) => event.type === 'sim' && event.state === 'active');
  return { path, modem };
}

const at = (path: string, ...commands: readonly string[]) =>
  supersimAgent(['modem', 'at', '--path', path, ...commands]);

describe('supersim-agent modem at', () => {
  it('sends one command and prints the response', async () => {
    const { path } = await startModem();
    expect(await at(path, 'AT+CSQ')).toMatchObject({ code: 0, stdout: '+CSQ: 21,99\nOK\n', stderr: '' });
  });

  it('sends several commands in order, explains error numbers, and exits with 1 for an error', async () => {
    const { path, modem } = await startModem();
    modem?.setSim('absent');
    const { code, stdout } = await at(path, 'AT+CGMM', 'at+cpin?', 'AT+CSQ;+CGMM');
    expect(stdout.split('\n')).toEqual([
      ...['AT+CGMM', 'BG96', 'OK', 'at+cpin?', '+CME ERROR: 10 (SIM not inserted)'],
      ...['AT+CSQ;+CGMM', '+CME ERROR: 10 (SIM not inserted)', ''],
    ]);
    expect(code).toBe(1);
  });

  it('uses the configured port', async () => {
    const { path } = await startModem();
    const result = await supersimAgent(['modem', 'at', 'AT'], `modem: { path: ${path} }\nlink: { policy: udp }`);
    expect(result).toMatchObject({ code: 0, stdout: 'OK\n' });
  });

  it.each([
    ['AT+QISEND=0,5'],
    ['AT+QISEND=0,5,"100.64.0.1",6969'],
    ['AT+CIPSEND=0,5'],
    ['AT+CASEND=0,5'],
    ['AT+USOST=0,"100.64.0.1",6969,5'],
    ['AT+CSQ;+QISEND=0'],
    ['AT+CMGS="123"'],
    ['ATD*99#'],
    ['ATO'],
  ])('refuses %s, which would take the next command as data', async (command) => {
    const link = linkPath();
    const pty = await openPty(link);
    const { code, stdout, stderr } = await at(link, command);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^error bad-input: /);
    expect(pty.received()).toHaveLength(0);
  });

  it.each([['+CSQ'], ['AT\nAT'], ['AT+X="ü"'], [`AT${'x'.repeat(1100)}`]])('refuses %j', async (command) => {
    expect(await at('/dev/nowhere', command)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^error bad-input: /),
    });
  });

  it.each([
    ['is not there', ['--path', '/dev/nowhere'], 'modem-port-missing', 1],
    ['is not named', [], 'bad-input', 2],
    ['has no such speed', ['--path', '/dev/nowhere', '--baud', 'fast'], 'bad-input', 2],
  ])('fails when the port %s', async (_what, args, error, status) => {
    const { code, stderr } = await supersimAgent(['modem', 'at', 'AT', ...args]);
    expect(stderr).toMatch(new RegExp(`^error ${error}: `));
    expect(code).toBe(status);
  });

  it('names the process that has the port open', async () => {
    const link = linkPath();
    const { pid } = await openPty(link, 'locked');
    const { code, stderr } = await at(link, 'AT');
    expect(stderr).toMatch(new RegExp(`^error modem-port-busy: .*pid ${pid}`));
    expect(code).toBe(1);
  });

  it('reports a silent port', async () => {
    const link = linkPath();
    await openPty(link);
    expect(await at(link, 'AT')).toMatchObject({ code: 1, stderr: expect.stringMatching(/^error modem-silent: /) });
  });

  it('starts a console without commands, reports invalid ones, and ends at exit', async () => {
    const { path } = await startModem();
    const input = 'AT+CGMM\n\n+CSQ\nAT+QISEND=0,1\nAT+NONSENSE\nAT+CSQ\nexit\nAT\n';
    const { code, stdout, stderr } = await supersimAgent(['modem', 'at', '--path', path], '', {}, input);
    expect(stdout).toBe('BG96\nOK\nERROR\n+CSQ: 21,99\nOK\n');
    expect(stderr.match(/^error bad-input/gm)).toHaveLength(2);
    expect(code).toBe(1);
  });

  it('exits with 0 when all commands on stdin ended with OK', async () => {
    const { path } = await startModem();
    expect(await supersimAgent(['modem', 'at', '--path', path], '', {}, 'AT\nATI')).toMatchObject({
      code: 0,
      stdout: 'OK\nQuectel\nBG96\nRevision: BG96MAR02A07M1G\nOK\n',
    });
  });
});

describe.skipIf(needs('python3'))('supersim-agent modem at on a terminal', () => {
  it('has a prompt and a history, and shows unsolicited lines', async () => {
    const { path, modem } = await startModem();
    const link = linkPath();
    const terminal = await openPty(link);
    const fd = openSync(terminal.device, 'r+');
    const child = spawn(process.execPath, [program('supersim-agent'), 'modem', 'at', '--path', path], {
      env: { ...environment(), TERM: 'xterm' },
      stdio: [fd, fd, fd],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    closeSync(fd);
    const ended = new Promise((resolve) => child.once('close', resolve));
    const shown = () => terminal.received().toString();
    const count = (text: string) => shown().split(text).length - 1;
    const until = (fits: () => boolean) => expect.poll(() => fits() || shown()).toBe(true);

    await until(() => shown().includes('AT> '));
    terminal.send('AT+CGMM\r');
    await until(() => /BG96\r?\nOK/.test(shown()));
    terminal.send('\x1b[A\r');
    await until(() => count('BG96') === 2);
    modem?.sendUrc('+QIND: "unasked"');
    await until(() => shown().includes('+QIND: "unasked"'));
    terminal.send('exit\r');
    expect(await ended).toBe(0);
  });
});
