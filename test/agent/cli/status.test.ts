import { spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createAgent } from '../../../agent/agent.js';
import { MAX_RESPONSE_BYTES, statusSchema } from '../../../agent/service/control/schema.js';
import { VERSION } from '../../../shared/version.js';
import { temporaryFolder } from '../../support/files.js';
import { MODEM_HEALTH } from '../../support/links.js';
import { needs } from '../../support/needs.js';
import { openPeer, randomAddress } from '../../support/udp.js';
import { openControl } from '../service/control/support.js';
import { supersimAgent, supersimAgentAsNobody } from './support.js';

/** An agent with its control socket, on an address of its own. */
async function startAgent() {
  const listen = { address: randomAddress(), ports: [6969], receiveBufferBytes: 65_536 };
  const agent = createAgent({ config: { listen, allow: ['127.0.0.0/8'] } });
  await agent.start();
  onTestFinished(() => agent.stop());
  const { path } = await openControl({ target: { status: () => agent.status(), commands: undefined } });
  return { agent, path, address: listen.address };
}

/** Something else than an agent that listens. */
async function listenAs(answer: (socket: Socket) => void): Promise<string> {
  const path = join(temporaryFolder(), 'control.sock');
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined));
    answer(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return path;
}

const http = (body: string, status = '200 OK') =>
  `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

describe('supersim-agent status', () => {
  it('shows the status of a real agent on one screen', async () => {
    const { path, address } = await startAgent();
    const peer = await openPeer();
    await peer.ask('ping', { address, port: 6969 });
    const { code, stdout, stderr } = await supersimAgent(['status', '--socket', path]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^supersim-agent ${VERSION}, up \\d.*, process ${process.pid}\n`));
    expect(stdout).toMatch(new RegExp(`^link +up, ${address}$`, 'm'));
    expect(stdout).toMatch(/^ports +6969$/m);
    expect(stdout).toMatch(/^commands +0 running, 0 waiting$/m);
    expect(stdout).toMatch(/^outcomes +1 done, 0 failed, 0 refused/m);
    expect(stdout).toMatch(/^not started +0 busy, 0 expired, 0 handler-unavailable$/m);
    expect(stdout).toMatch(/^last command +ping done, from \S+ by udp, \d s ago$/m);
    expect(stdout).toMatch(/^interface +unknown: no rules were loaded; run `sudo supersim-agent secure`$/m);
    const { address: from } = peer.endpoint;
    expect(stdout).toMatch(
      new RegExp(`^command sources +${from} \\(1\\); to admit no others: allow: \\[${from}/32\\]$`, 'm'),
    );
    expect(stdout).toMatch(/^received +1 datagrams, 4 bytes, 0 repeats$/m);
    expect(stdout).toMatch(/^sent +1 datagrams, 7 bytes, 0 not sent at once$/m);
    expect(stdout).toMatch(/^held back +nothing$/m);
    expect(stdout).toMatch(/^last sent +7 bytes by udp, \d s ago$/m);
    expect(stdout).toMatch(/^kernel drops +(0|unknown)$/m);
    expect(stdout).toMatch(/^journal +0 commands, 0 unfinished, 0 bytes, 0 outcomes remembered, in memory only$/m);
    expect(stdout).toMatch(/^outbox +0 waiting, 0 bytes; dropped by count 0, bytes 0, expired 0$/m);
    expect(stdout).toMatch(/^memory +\d+\.\d MiB resident, \d+\.\d MiB of it JavaScript heap$/m);
    expect(stdout).toMatch(/^CPU +\d+\.\d s, \d+\.\d %$/m);
    expect(stdout.split('\n').length).toBeLessThan(25);
  });

  it('prints the agent’s whole answer with --json', async () => {
    const { agent, path, address } = await startAgent();
    await (await openPeer()).ask('nope', { address, port: 6969 });
    const { code, stdout } = await supersimAgent(['status', '--socket', path, '--json']);
    expect(code).toBe(0);
    const { link, ...status } = agent.status();
    expect(status.lastCommand).toMatchObject({ name: 'nope', code: 'unknown-command' });
    const links = [{ name: 'udp', up: true, address: status.address }];
    expect(link).toMatchObject({ name: 'udp', switches: 0, links });
    expect(statusSchema.parse(JSON.parse(stdout))).toMatchObject({
      version: VERSION,
      // JSON leaves out what is undefined.
      ...JSON.parse(JSON.stringify(status)),
      link: { name: 'udp', switches: 0, links },
    });
  });

  it.each([
    [0.5, '0 s'],
    [59.9, '59 s'],
    [3600, '1 h 0 min'],
    [100_000, '1 d 3 h'],
  ])('shows a link that is down, and %d s as %s', async (uptime, shown) => {
    const { address, ...status } = createAgent().status();
    const { path } = await openControl({ target: { status: () => ({ ...status, uptime }), commands: undefined } });
    const { stdout } = await supersimAgent(['status', '--socket', path]);
    expect(stdout).toContain(`, up ${shown}, `);
    expect(stdout).toMatch(/^link +down/m);
  });

  it('shows a failed last command with its age, and that nothing was sent', async () => {
    const lastCommand = {
      ...{ name: 'relay.set', outcome: 'failed', code: 'handler-timeout', peer: 'gateway', transport: 'modem' },
      at: Date.now() - 3_725_000,
    };
    const status = { ...createAgent().status(), lastCommand, uptime: 1 };
    const { path } = await openControl({ target: { status: () => status, commands: undefined } });
    const { stdout } = await supersimAgent(['status', '--socket', path]);
    expect(stdout).toMatch(
      /^last command +relay\.set failed \(handler-timeout\), from gateway by modem, 1 h 2 min ago$/m,
    );
    expect(stdout).toMatch(/^last sent +nothing$/m);
  });

  it.each<[string, object, string]>([
    ['all is well', {}, '12 commands, 1 unfinished, 2.0 KiB, 3400 outcomes remembered'],
    [
      'it cannot be written',
      { writable: false, reason: 'EROFS: read-only file system' },
      '12 commands, 1 unfinished, 2.0 KiB, 3400 outcomes remembered; cannot be written: EROFS: read-only file system',
    ],
    [
      'all has happened to it that can',
      { damaged: 1, lost: 2, rewritten: 3, restarted: 4 },
      '12 commands, 1 unfinished, 2.0 KiB, 3400 outcomes remembered; found lost: 2; damaged and set aside: 1; deleted files written again: 3; storage worker replaced: 4',
    ],
  ])('shows the journal when %s', async (_what, change, shown) => {
    const journal = {
      ...{ persistent: true, writable: true, entries: 12, bytes: 2048, live: 1, remembered: 3400 },
      ...{ damaged: 0, lost: 0, rewritten: 0, restarted: 0 },
      ...change,
    };
    const status = { ...createAgent().status(), journal, uptime: 1 };
    const { path } = await openControl({ target: { status: () => status, commands: undefined } });
    const { stdout } = await supersimAgent(['status', '--socket', path]);
    expect(/^journal +(.*)$/m.exec(stdout)?.[1]).toBe(shown);
  });

  it('shows the journal of an agent of version 0.1', async () => {
    const journal = { persistent: false, entries: 12, bytes: 2048, live: 1, damaged: 1 };
    const status = { ...createAgent().status(), journal, uptime: 1 };
    const { path } = await openControl({ target: { status: () => status, commands: undefined } });
    const { stdout } = await supersimAgent(['status', '--socket', path]);
    expect(stdout).toMatch(/^journal +12 commands, 1 unfinished, 2\.0 KiB, in memory only; damaged and set aside: 1$/m);
  });

  it('shows two links, the one in use and the state of each', async () => {
    const now = Date.now();
    const link = {
      name: 'modem',
      // Ten seconds past a minute: the text stays the same while the program starts.
      since: now - 7_510_000,
      switches: 3,
      links: [
        { name: 'modem', up: true, since: now, address: '10.1.2.3', modem: MODEM_HEALTH },
        { name: 'udp', up: false, since: now, reason: 'there is no address to listen on' },
      ],
    };
    const status = { ...createAgent().status(), link, uptime: 1 };
    const { path } = await openControl({ target: { status: () => status, commands: undefined } });
    const { stdout } = await supersimAgent(['status', '--socket', path]);
    expect(stdout).toMatch(/^link +modem for 2 h 5 min, 3 switches$/m);
    expect(stdout).toMatch(/^modem +up, 10\.1\.2\.3, roaming, 23415, -71 dBm$/m);
    expect(stdout).toMatch(/^udp +down: there is no address to listen on$/m);
    expect(stdout).toMatch(/^modem recovery +socket 2, context 1, bring-up 4; 3 deferred while UDP works$/m);
    expect(stdout).toMatch(
      /^modem line +120 data URCs, 6 lost ones detected by 700 polls; bytes discarded: noise 40, unknown-line 2$/m,
    );
    const { stdout: json } = await supersimAgent(['status', '--socket', path, '--json']);
    expect(statusSchema.parse(JSON.parse(json)).link?.links[0]?.modem?.counters).toEqual(MODEM_HEALTH.counters);
    const alone = { ...status, link: { ...link, links: link.links.slice(0, 1) } };
    const second = await openControl({ target: { status: () => alone, commands: undefined } });
    const { stdout: shown } = await supersimAgent(['status', '--socket', second.path]);
    expect(shown).toMatch(/^link +modem up, 10\.1\.2\.3, /m);
  });

  it('finds the socket in the service’s runtime directory', async () => {
    const { path } = await startAgent();
    expect((await supersimAgent(['status'], '', { RUNTIME_DIRECTORY: dirname(path) })).code).toBe(0);
  });

  it('names the socket that nobody listens on, and what to do', async () => {
    const path = join(temporaryFolder(), 'absent.sock');
    const { code, stderr, stdout } = await supersimAgent(['status', '--socket', path]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^error control-unreachable: /);
    expect(stderr).toContain(path);
    expect(stderr).toContain('systemctl start');
  });

  it('reports that the agent has ended and left its socket file', async () => {
    const path = join(temporaryFolder(), 'control.sock');
    const leave = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', leave, path]);
    const { code, stderr } = await supersimAgent(['status', '--socket', path]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error control-unreachable: .*ECONNREFUSED/);
  });

  it.skipIf(needs('root'))('reports that the user may not use the socket', async () => {
    const { path } = await startAgent();
    chmodSync(dirname(path), 0o755);
    const runAsNobody = supersimAgentAsNobody();
    const asNobody = (socket: string) => runAsNobody(['status', '--socket', socket]);
    const refused = await asNobody(path);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/^error control-forbidden: /);
    expect(refused.stderr).toContain(path);
    expect(refused.stderr).toMatch(/sudo.*group/);
    chmodSync(path, 0o666);
    expect((await asNobody(path)).code).toBe(0);
  });

  it.each<[string, (socket: Socket) => void, string]>([
    ['closes', (socket) => socket.end(), 'control-unreachable'],
    ['speaks another protocol', (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'), 'control-invalid-response'],
    [
      'breaks off HTTP inside the body',
      (socket) => socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n'),
      'control-invalid-response',
    ],
    ['answers no JSON', (socket) => socket.end(http('hello')), 'control-invalid-response'],
    ['answers other JSON', (socket) => socket.end(http('{"version":3}')), 'control-invalid-response'],
    ['refuses in its own way', (socket) => socket.end(http('', '500 No')), 'control-invalid-response'],
    [
      'refuses with a code of another version',
      (socket) => socket.end(http('{"code":"toString","message":"m","remedy":"r"}', '400 No')),
      'control-invalid-response',
    ],
    [
      'answers without end',
      (socket) => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        socket.write(Buffer.alloc(MAX_RESPONSE_BYTES + 1, 'x'));
      },
      'control-invalid-response',
    ],
    ['does not answer', (socket) => void socket.resume(), 'control-unreachable'],
  ])('rejects the answer of another program that %s', async (_what, answer, expected) => {
    const path = await listenAs(answer);
    const { code, stderr } = await supersimAgent(['status', '--socket', path]);
    expect(stderr).toMatch(new RegExp(`^error ${expected}: `));
    expect(code).toBe(1);
  });

  it('escapes control characters of the answer', async () => {
    const status = { ...createAgent().status(), address: 'a\u001b[2J\n', version: '\u001b]0;x\u0007' };
    const { path } = await openControl({ target: { status: () => status, commands: undefined } });
    for (const flags of [[], ['--json']]) {
      const { code, stdout } = await supersimAgent(['status', '--socket', path, ...flags]);
      expect(code).toBe(0);
      expect(stdout.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
    }
    const refusal = '{"code":"busy","message":"\\u001b[2J","remedy":"\\u001b[2J"}';
    const refusing = await listenAs((socket) => socket.end(http(refusal, '503 Busy')));
    const { stderr } = await supersimAgent(['status', '--socket', refusing]);
    expect(stderr).toBe('error busy: \\u001b[2J\n\\u001b[2J\n');
  });

  it.each([
    [['status', '--bogus']],
    [['status', '--socket']],
    [['status', '--socket=']],
    [['status', '--socket', 'a', '--socket', 'b']],
    [['status', 'more']],
  ])('exits with 2 for wrong arguments: %j', async (args) => {
    expect((await supersimAgent(args)).code).toBe(2);
  });
});
