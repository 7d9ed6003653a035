import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryFolder, writeFile, writeScript } from '../../../support/files.js';
import { program, startProcess } from '../../../support/process.js';
import { openPeer, randomAddress } from '../../../support/udp.js';
import { copyPrograms, environment, startAgent, supersimAgent } from '../support.js';

const SECRET = 'a-payload-for-nobody-else';

/** A program handler that runs until the test makes the file `go`, and has made `running` before. */
function heldProgram() {
  const folder = temporaryFolder();
  const script = writeScript(
    'echo $$ >pid; touch running; while [ ! -e go ]; do sleep 0.02; done; echo released',
    folder,
  );
  return {
    config: `handlers: {hold: {program: [${script}], directory: ${folder}}}`,
    running: () => expect.poll(() => readdirSync(folder)).toContain('running'),
    pid: () => readFileSync(join(folder, 'pid'), 'utf8').trim(),
    release: () => writeFileSync(join(folder, 'go'), ''),
  };
}

/** The command line of a process; undefined once it has ended. */
function commandOf(pid: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
  } catch {
    return undefined;
  }
}

const moduleWith = (text: string) => `modules: [${writeFile(temporaryFolder(), 'handler.mjs', text)}]`;

describe('supersim-agent run', () => {
  it('answers, and logs a JSON object per command on stdout', async () => {
    const { agent, peer, device, log } = await startAgent();
    expect((await peer.ask('#7 ping', device)).toString()).toBe('#7 ok pong');
    expect((await peer.ask('{"id":8,"method":"nope"}', device)).toString()).toContain('unknown-command');
    await agent.line(/"outcome":"refused"/);
    const commands = log().filter(({ msg }) => msg === 'command');
    const shared = { level: 'info', time: expect.any(Number), transport: 'udp', ms: expect.any(Number) };
    const from = `${peer.endpoint.address}:${peer.endpoint.port}`;
    expect(commands).toEqual([
      { ...shared, id: '7', name: 'ping', peer: from, format: 'text', outcome: 'done', msg: 'command' },
      {
        ...shared,
        id: 8,
        name: 'nope',
        peer: from,
        format: 'json',
        outcome: 'refused',
        code: 'unknown-command',
        error: expect.any(String),
        msg: 'command',
      },
    ]);
  });

  it.each(['info', 'debug'])('logs no payload at level %s', async (level) => {
    const { agent, peer, device } = await startAgent('', { args: ['--log-level', level] });
    expect((await peer.ask(`#1 echo ${SECRET} key=${SECRET}`, device)).toString()).toContain(SECRET);
    expect((await peer.ask(`#2 info ${SECRET}`, device)).toString()).toContain('#2 error bad-params');
    // The parsers' own messages quote what they could not read.
    expect((await peer.ask(`{"password": ${SECRET}}`, device)).toString()).toContain('-32700');
    await agent.line(/"code":"parse-error"/);
    expect(agent.output()).not.toContain(SECRET);
    expect(agent.output()).not.toContain(SECRET.slice(1, -1));
    expect(agent.output()).not.toContain(Buffer.from(SECRET).toString('hex'));
  });

  it('logs payloads at level trace, as hexadecimal', async () => {
    const { agent, peer, device, log } = await startAgent('', { args: ['--log-level', 'trace'] });
    await peer.ask(`echo ${SECRET}`, device);
    await agent.line(/"outcome":"done"/);
    const traces = log().filter(({ level }) => level === 'trace');
    expect(traces.map(({ msg, hex }) => [msg, Buffer.from(String(hex), 'hex').toString()])).toContainEqual([
      'datagram in',
      `echo ${SECRET}`,
    ]);
  });

  it('lets flags override variables, and variables the file', async () => {
    const { agent, log } = await startAgent('device: {id: from-file}\nlog: {level: error}', {
      args: ['--log-level', 'debug', '--port', '7001', '--port', '7002'],
      env: { SUPERSIM_AGENT_DEVICE_ID: 'from-variable', SUPERSIM_AGENT_LOG_LEVEL: 'fatal' },
    });
    await agent.line(/agent started/);
    expect(log()).toContainEqual(expect.objectContaining({ msg: 'agent started', device: 'from-variable' }));
    expect(log()).toContainEqual(expect.objectContaining({ msg: 'listening', ports: [7001, 7002] }));
  });

  it('keeps the journal in memory with state.folder none, and makes no file', async () => {
    const folder = temporaryFolder();
    const env = { STATE_DIRECTORY: folder };
    const { peer, device } = await startAgent('state: { folder: none }', { env });
    const health = JSON.parse((await peer.ask('{"id":1,"method":"health"}', device)).toString());
    expect(health).toMatchObject({ result: { journal: 'ok' } });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('refuses commands that need the journal where SQLite cannot be loaded, and tells why', async () => {
    const folder = temporaryFolder();
    const config = `handlers: {touch: {program: [/usr/bin/touch, ${join(folder, 'ran')}]}}`;
    const file = join(copyPrograms(), 'supersim-agent.js');
    const control = join(folder, 'control.sock');
    const env = { SUPERSIM_AGENT_CONTROL_SOCKET: control };
    const { agent, peer, device } = await startAgent(config, { file, env });
    await agent.line(/no journal and no outbox: the SQLite library cannot be loaded/);
    expect((await peer.ask('#1 touch', device)).toString()).toMatch(
      /^#1 unrecorded error busy .*there is no journal: /,
    );
    const health = JSON.parse((await peer.ask('{"id":2,"method":"health"}', device)).toString());
    expect(health).toMatchObject({ result: { journal: expect.stringMatching(/^busy: there is no journal: /) } });
    const { stdout } = await supersimAgent(['status', '--socket', control]);
    expect(stdout).toMatch(/^journal +0 commands, .*; cannot be written: there is no journal: /m);
    expect(readdirSync(folder)).not.toContain('ran');
  });

  it('accepts commands from this machine with --dev', async () => {
    const { peer, device } = await startAgent('', {
      args: ['--dev'],
      env: { SUPERSIM_AGENT_ALLOW: '[100.64.0.0/10]' },
    });
    expect((await peer.ask('ping', device)).toString()).toBe('ok pong');
  });

  it('starts without invalid handlers, and logs them', async () => {
    const config = `${moduleWith('throw new Error("no such board")')}\nhandlers: {mine: {program: [df]}}`;
    const { peer, device, log } = await startAgent(config);
    expect((await peer.ask('ping', device)).toString()).toBe('ok pong');
    const errors = log().filter(({ level }) => level === 'error');
    expect(errors).toMatchObject([
      { handler: 'mine', code: 'handler-invalid', error: expect.any(String), remedy: expect.any(String) },
      { module: expect.any(String), error: expect.stringContaining('no such board') },
    ]);
  });

  it('keeps running after an unhandled rejection of a handler', async () => {
    const config = moduleWith(
      `export default { name: 'bad', description: '', run() { Promise.reject(new Error('forgotten')); return 'ran'; } };`,
    );
    const { agent, peer, device } = await startAgent(config);
    expect((await peer.ask('bad', device)).toString()).toBe('ok ran');
    await agent.line(/forgotten/);
    expect((await peer.ask('ping', device)).toString()).toBe('ok pong');
  });

  it('logs an uncaught exception of a handler, and exits with 1', async () => {
    const config = moduleWith(
      `export default { name: 'bad', description: '', run() { setImmediate(() => { throw new Error('in the void'); }); } };`,
    );
    const { agent, peer, device, log } = await startAgent(config);
    await peer.send('bad', device);
    expect(await agent.ended).toBe(1);
    expect(log()).toContainEqual(expect.objectContaining({ level: 'fatal', error: 'in the void' }));
  });
});

it('supersim-agent run leaves no program running after an uncaught exception', async () => {
  const held = heldProgram();
  const stray = `export default { name: 'stray', description: '', run() { setTimeout(() => { throw new Error('stray'); }); } };`;
  const { agent, peer, device } = await startAgent(`${held.config}\n${moduleWith(stray)}`);
  await peer.send('#1 hold', device);
  await held.running();
  const pid = held.pid();
  await peer.send('#2 stray', device);
  expect(await agent.ended).toBe(1);
  expect(agent.output()).toContain('uncaught exception');
  await expect.poll(() => commandOf(pid)).toBeUndefined();
});

it('supersim-agent try leaves no program running when it is interrupted', async () => {
  const held = heldProgram();
  const file = writeFile(temporaryFolder(), 'config.yaml', held.config);
  const tried = startProcess(process.execPath, [program('supersim-agent'), 'try', 'hold', '--config', file]);
  await held.running();
  const pid = held.pid();
  tried.kill('SIGINT');
  expect(await tried.ended).toBe(1);
  expect(tried.output()).toContain('handler-failed');
  await expect.poll(() => commandOf(pid)).toBeUndefined();
});

describe('supersim-agent run on a signal', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)(
    '%s waits for running commands, sends their replies, and exits with 0',
    async (signal) => {
      const held = heldProgram();
      const { agent, peer, device, log } = await startAgent(held.config);
      await peer.send('#1 hold', device);
      await held.running();
      agent.kill(signal);
      await agent.line(/"stopping"/);
      await peer.send('#2 ping', device);
      held.release();
      expect((await peer.next()).bytes.toString()).toBe('#1 ok released');
      expect(await agent.ended).toBe(0);
      expect(await peer.everythingSoFar()).toEqual([]);
      expect(log().at(-1)).toMatchObject({ msg: 'agent stopped', outcomes: { done: 1 } });
    },
  );

  it('SIGTERM kills the process group of a program that does not exit', async () => {
    const folder = temporaryFolder();
    const script = writeScript("trap '' TERM; sleep 1000 & echo $! > pid; mv pid running; wait; wait", folder);
    const config = `limits: {stop: 0s}\nhandlers: {hang: {program: [${script}], directory: ${folder}}}`;
    const { agent, peer, device } = await startAgent(config);
    await peer.send('#1 hang', device);
    await expect.poll(() => readdirSync(folder)).toContain('running');
    agent.kill('SIGTERM');
    expect((await peer.next()).bytes.toString()).toMatch(/^#1 error handler-failed /);
    expect(await agent.ended).toBe(0);
    await expect.poll(() => processesIn(folder)).toEqual([]);
  });

  it('SIGTERM ends an agent that is still loading a module', async () => {
    const folder = temporaryFolder();
    const path = writeFile(folder, 'stuck.mjs', 'console.log("loading"); await new Promise(() => {});');
    const { agent } = await startAgent(`modules: [${path}]`, { ready: /loading/ });
    agent.kill('SIGTERM');
    expect(await agent.ended).toBe(0);
  });

  it('a second signal of the other kind changes nothing', async () => {
    const held = heldProgram();
    const { agent, peer, device } = await startAgent(held.config);
    await peer.send('#1 hold', device);
    await held.running();
    agent.kill('SIGTERM');
    await agent.line(/"stopping"/);
    agent.kill('SIGINT');
    await agent.line(/SIGINT/);
    held.release();
    expect((await peer.next()).bytes.toString()).toBe('#1 ok released');
    expect(await agent.ended).toBe(0);
  });
});

describe('supersim-agent run fails to start', () => {
  it('with exit code 1 and a remedy for a port in use', async () => {
    const { endpoint } = await openPeer();
    const args = ['run', '--address', endpoint.address, '--port', String(endpoint.port), '--gateway', '127.0.0.1:9'];
    const { code, stderr } = await supersimAgent(args);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error port-in-use: .*\n.*ss -lunp.*\n$/);
    expect(stderr).toContain(`${endpoint.address}:${endpoint.port}`);
  });

  it.each([
    ['an unknown flag', ['--bogus'], 2],
    ['a port that is no number', ['--port', 'abc'], 1],
    ['a port out of range', ['--port', '70000'], 1],
    ['a gateway without a port', ['--gateway', '127.0.0.1'], 1],
    ['a gateway that is no address', ['--gateway', 'gw.example:6969'], 1],
    ['an unknown level', ['--log-level', 'loud'], 1],
  ])('%s', async (_what, args, expected) => {
    const { code, stdout, stderr } = await supersimAgent(['run', ...args]);
    expect(code).toBe(expected);
    expect(stdout).toBe('');
    expect(stderr).toContain(args[0]?.replace(/^--bogus$/, 'bogus'));
  });
});

describe('the reader of the log of supersim-agent run', () => {
  /** The agent with a pipe as its stdout, which the test itself holds. */
  async function startWithPipe() {
    const device = { address: randomAddress(), port: 6969 };
    const file = writeFile(temporaryFolder(), 'config.yaml', '');
    const args = ['run', '--dev', '--config', file, '--address', device.address, '--gateway', '127.0.0.1:9'];
    const child = spawn(process.execPath, [program('supersim-agent'), ...args], {
      env: environment(),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    let started = '';
    while (!started.includes('agent started')) started += String(await once(child.stdout, 'data'));
    return { child, device, peer: await openPeer() };
  }

  it('may disappear, and the agent keeps running and exits with 0', async () => {
    const { child, device, peer } = await startWithPipe();
    child.stdout.destroy();
    for (let id = 0; id < 20; id++) expect((await peer.ask(`#${id} ping`, device)).toString()).toBe(`#${id} ok pong`);
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
  });

  it('may stop reading, and the agent keeps answering', async () => {
    const { child, device, peer } = await startWithPipe();
    child.stdout.pause();
    // Some 200 bytes a line: more than a pipe holds, and more than the agent keeps.
    for (let id = 0; id < 8000; id++) expect((await peer.ask(`#${id} ping`, device)).toString()).toBe(`#${id} ok pong`);
  });
});

/** Pids of the processes whose working directory is a folder. */
function processesIn(folder: string): string[] {
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && folderOf(pid) === folder);
}

function folderOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return undefined;
  }
}
