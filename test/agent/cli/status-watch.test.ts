import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryFolder } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { program, startProcess } from '../../support/process.js';
import { linkPath, openPty } from '../../support/pty.js';
import { environment, startAgent } from './support.js';

const WAIT = { timeout: 20_000, interval: 20 };

const watching = (socket: string, ...more: readonly string[]) => [
  program('supersim-agent'),
  ...['status', '--watch', '--socket', socket, ...more],
];

const startWatch = (socket: string, ...more: readonly string[]) =>
  startProcess(process.execPath, watching(socket, ...more), environment());

const socketPath = () => join(temporaryFolder(), 'control.sock');

describe('supersim-agent status --watch', () => {
  it('continues while no agent answers, and reports a restart', { timeout: 40_000 }, async () => {
    const socket = socketPath();
    const config = `control: { socket: ${socket} }`;
    const watch = startWatch(socket);
    await watch.line(/^error control-unreachable: /);
    const first = await startAgent(config);
    await watch.line(new RegExp(`, process ${first.agent.pid}$`));
    first.agent.kill('SIGTERM');
    await first.agent.ended;
    await expect.poll(() => watch.output(), WAIT).toMatch(/(?:^No agent since \d\d:\d\d:\d\d UTC[\s\S]*){2}/m);
    const second = await startAgent(config);
    await watch.line(
      new RegExp(`^The agent was restarted at .*: process ${first.agent.pid} became ${second.agent.pid}\\.$`),
    );
    // That nobody answers is said once, not each second.
    expect(watch.output().match(/^No agent since/gm)).toHaveLength(2);
    watch.kill('SIGINT');
    expect(await watch.ended).toBe(0);
  });

  it('reports an agent that hangs, and continues when it answers again', { timeout: 30_000 }, async () => {
    const socket = socketPath();
    const { agent } = await startAgent(`control: { socket: ${socket} }`);
    const watch = startWatch(socket);
    await watch.line(/^commands /);
    agent.kill('SIGSTOP');
    await watch.line(/^error control-unreachable: /);
    const shown = () => watch.output().match(/^commands /gm)?.length ?? 0;
    const before = shown();
    agent.kill('SIGCONT');
    await expect.poll(() => shown() > before || watch.output(), WAIT).toBe(true);
    expect(watch.output()).not.toContain('was restarted');
  });

  it('prints a line of JSON each second with --json, and ends when the pipe is closed', async () => {
    const socket = socketPath();
    const { agent } = await startAgent(`control: { socket: ${socket} }`);
    const script = '"$0" "$@" | head -n 2; echo "$PIPESTATUS"';
    const args = ['-c', script, process.execPath, ...watching(socket, '--json')];
    const piped = startProcess('bash', args, environment());
    expect(await piped.ended).toBe(0);
    const [first = '', second = '', ended] = piped.output().split('\n');
    expect(JSON.parse(first)).toMatchObject({ pid: agent.pid });
    expect(JSON.parse(second).uptime).toBeGreaterThan(JSON.parse(first).uptime);
    expect(ended).toBe('0');
  });

  it('exits with an error that waiting does not fix', async () => {
    const socket = socketPath();
    const server = createServer((client) => void client.on('error', () => undefined).end('SSH-2.0-OpenSSH_9.2\r\n'));
    server.listen(socket);
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const watch = startWatch(socket);
    expect(await watch.ended).toBe(1);
    expect(watch.output()).toMatch(/^error control-invalid-response: /);
  });
});

describe.skipIf(needs('python3'))('supersim-agent status --watch on a terminal', () => {
  it('redraws in place within the terminal’s size, and leaves the text on Ctrl-C', async () => {
    const socket = socketPath();
    const { agent } = await startAgent(`control: { socket: ${socket} }`);
    const terminal = await openPty(linkPath());
    const fd = openSync(terminal.device, 'r+');
    const child = spawn(process.execPath, watching(socket), { env: environment(), stdio: [fd, fd, fd] });
    onTestFinished(() => void child.kill('SIGKILL'));
    closeSync(fd);
    const exit = new Promise((resolve) => child.once('close', (code, signal) => resolve(code ?? signal)));
    const shown = () => terminal.received().toString();
    const frames = () => shown().split('\u001b[H').slice(1);
    await expect.poll(() => frames().length > 2 || shown(), WAIT).toBe(true);
    child.kill('SIGINT');
    expect(await exit).toBe(0);
    expect(shown().startsWith('\u001b[2J')).toBe(true);
    for (const frame of frames()) {
      expect(frame).toContain(`process ${agent.pid}`);
      expect(frame.endsWith('\u001b[J')).toBe(true);
      expect(frame.split('\n').length).toBeLessThanOrEqual(24);
    }
  });
});
