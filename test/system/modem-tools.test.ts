import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { DIALECT_NAMES, type DialectName } from '../../loopback/index.js';
import { IpCommandClient } from '../../sender/index.js';
import { environment, supersimAgent } from '../agent/cli/support.js';
import { temporaryFolder, writeFile } from '../support/files.js';
import { needs } from '../support/needs.js';
import { program, startProcess } from '../support/process.js';
import { linkPath } from '../support/pty.js';
import { startTestLoopback } from '../support/round-trip.js';

/** Looks like answers and URCs, in part. */
const PAYLOADS = ['OK', 'ping', '#7 ping', '\r\nOK\r\n+QIURC: "recv",0\r\n', `#8 echo ${'x'.repeat(900)}`];

/** An agent process that has nothing but a virtual modem, up. */
async function startAgent(dialect: DialectName) {
  const path = linkPath();
  const folder = temporaryFolder();
  const socket = join(folder, 'control.sock');
  const loopback = await startTestLoopback({ modem: { dialect, path } });
  const config = { modem: { path }, link: { policy: 'modem' }, control: { socket }, state: { folder } };
  const file = writeFile(folder, 'config.yaml', JSON.stringify(config));
  const args = [program('supersim-agent'), 'run', '--config', file];
  const agent = startProcess(process.execPath, args, environment());
  onTestFinished(() => agent.kill('SIGKILL'));
  await agent.line(/"modem up"/);
  const { accountSid, authToken, url, modem } = loopback;
  const client = new IpCommandClient({ accountSid, authToken, baseUrl: url });
  return {
    path,
    socket,
    agent,
    loopback,
    command: (payload: string) => client.create({ sim: modem?.simName ?? '', payload, devicePort: 6969 }),
    run: (...rest: readonly string[]) => supersimAgent(['modem', ...rest, '--socket', socket]),
  };
}

/** Where it says what a datagram had. */
const withoutBytes = ({ hex, ...notice }: Record<string, unknown>) => ({
  ...notice,
  bytes: String(hex ?? '').length / 2,
});

const sinceCommand = (notices: readonly Record<string, unknown>[]) =>
  notices.slice(notices.findIndex(({ kind }) => kind === 'result')).map(withoutBytes);

/** What `modem replay` understands of a log. */
async function replay(dialect: DialectName, log: string) {
  const { code, stdout } = await supersimAgent(['modem', 'replay', '--dialect', dialect, '-'], '', {}, log);
  return { code, notices: linesOf(stdout) };
}

const linesOf = (text: string): Record<string, unknown>[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

describe.skipIf(needs('node-pty'))('the modem of an agent that runs', { timeout: 60_000 }, () => {
  test.each(DIALECT_NAMES)('logs the data that it received, and masks it unless asked: %s', async (dialect) => {
    const { agent, command, run, loopback } = await startAgent(dialect);
    for (const payload of PAYLOADS) await command(payload);
    await agent.line(/"id":"8"/);
    await expect.poll(() => loopback.counters.fromSim).toBeGreaterThanOrEqual(3);
    const shown = await run('log', '--payloads');
    const hidden = await run('log');
    const open = await replay(dialect, shown.stdout);
    const closed = await replay(dialect, hidden.stdout);
    const datagrams = open.notices.filter(({ kind }) => kind === 'datagram');
    expect(datagrams.map(({ hex }) => Buffer.from(String(hex), 'hex').toString())).toEqual(PAYLOADS);
    // What came before the first command is left out where payloads are hidden.
    expect(sinceCommand(closed.notices)).toEqual(sinceCommand(open.notices));
    expect([open.code, closed.code]).toEqual([0, 0]);
    for (const { hex } of datagrams.slice(1)) expect(hidden.stdout).not.toContain(hex);
  });

  test('accepts AT commands through the agent, with or without the port’s name; without the agent the port is busy', async () => {
    const { path, agent, run, command } = await startAgent('quectel');
    expect(await run('at', 'AT+CSQ')).toMatchObject({ code: 0, stdout: '+CSQ: 21,99\nOK\n' });
    expect(await run('at', '--path', path, 'AT+CGMM')).toMatchObject({ code: 0, stdout: 'BG96\nOK\n' });
    expect(await run('at', 'AT+QICLOSE=99', 'AT+QISEND=0,1')).toMatchObject({ code: 2 });
    const elsewhere = await supersimAgent(['modem', 'at', 'AT', '--path', path, '--socket', '/nowhere.sock']);
    expect(elsewhere.stderr).toMatch(new RegExp(`^error modem-port-busy: .*pid ${agent.pid}`));
    const probed = await supersimAgent(['modem', 'probe', '--path', path]);
    expect(probed.stderr).toMatch(new RegExp(`^error modem-port-busy: .*pid ${agent.pid}`));
    // Meanwhile it goes on.
    await command('#9 ping');
    await agent.line(/"id":"9"/);
  });

  test('can be followed while it runs', async () => {
    const { run, command, socket } = await startAgent('ublox');
    const { stdout } = await run('log');
    expect(linesOf(stdout)[0]).toEqual({ t: expect.any(Number), dir: 'tx', hex: Buffer.from('AT\r').toString('hex') });
    const follower = startProcess(process.execPath, [
      ...[program('supersim-agent'), 'modem', 'log', '--follow', '--payloads'],
      ...['--socket', socket],
    ]);
    await command('#10 ping');
    await follower.line(new RegExp(Buffer.from('#10 ping').toString('hex')));
  });
});
