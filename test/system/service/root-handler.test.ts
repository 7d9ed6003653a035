import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, installAgent, isGone, startAgent } from '../../support/box-agent.js';
import { needs } from '../../support/needs.js';
import { BOX_TIMEOUT_MS, bootBox, type SystemdBox } from '../../support/systemd-box.js';

const UNITS = '/etc/systemd/system';
const SOCKET = '/run/supersim-agent-root/reboot.sock';

/** The pair of units that ships, under another name, with something else to do. */
function copyOfPair(box: SystemdBox, name: string, command: string): void {
  const text = (suffix: string) => readFileSync(`systemd/supersim-agent-reboot${suffix}`, 'utf8');
  const service = text('@.service')
    .replace(/^ExecStart=.*$/m, `ExecStart=/bin/sh -ec '${command}'`)
    .replace(/^KillSignal=.*$/m, '')
    .replace(/^RuntimeMaxSec=.*$/m, 'RuntimeMaxSec=1');
  for (const line of [command, 'RuntimeMaxSec=1\n']) expect(service).toContain(line);
  box.write(`${UNITS}/${name}.socket`, text('.socket').replace('reboot.sock', `${name}.sock`));
  box.write(`${UNITS}/${name}@.service`, service);
}

/** Connects to the socket of a pair as a user, and says how that went. */
const CONNECT = `perl -e 'use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0); connect($s, pack_sockaddr_un("${SOCKET}")) or die "$!\\n"'`;

describe.skipIf(needs('root', 'unshare', 'mmdebstrap'))('handlers that need root, under systemd', () => {
  let box: SystemdBox;
  beforeAll(async () => {
    box = await bootBox();
    const handler = (name: string) => ({ socket: `/run/supersim-agent-root/${name}.sock`, timeout: '10s' as const });
    await installAgent(box, {
      security: { unprotected: 'allow' },
      handlers: { 'who.am.i': handler('who'), fail: handler('fail'), hang: handler('hang'), absent: handler('absent') },
    });
    copyOfPair(box, 'who', 'read -r params; id -un; echo "$params"; echo ok');
    copyOfPair(box, 'fail', 'echo half; echo no such package >&2; exit 3');
    copyOfPair(box, 'hang', 'sleep 1000; echo ok');
    await box.done(['systemctl', 'daemon-reload']);
    const sockets = ['who', 'fail', 'hang', 'supersim-agent-reboot'].map((name) => `${name}.socket`);
    await box.done(['systemctl', 'enable', '--now', ...sockets]);
    await startAgent(box);
  }, BOX_TIMEOUT_MS);
  afterAll(() => box.stop());

  const request = (method: string, params: unknown = {}) => JSON.stringify({ method, params, id: randomUUID() });

  async function call(method: string, params: unknown = {}): Promise<unknown> {
    const [reply = ''] = await ask(box, request(method, params));
    return JSON.parse(reply);
  }

  const failed = (message: RegExp) => ({
    error: { data: { code: 'handler-failed' }, message: expect.stringMatching(message) },
  });

  it('have sockets that belong to root and that only the agent’s group may use', async () => {
    expect(await box.done(['stat', '--format=%U %G %a %F', SOCKET])).toBe('root supersim-agent 660 socket');
    expect(await box.done(['stat', '--format=%U %a', '/run/supersim-agent-root'])).toBe('root 755');
    expect(await box.run(['sh', '-c', CONNECT], { user: 'nobody' })).toMatchObject({ stderr: 'Permission denied\n' });
  });

  it('run as root with the parameters of the command, and reply', async () => {
    expect(await call('who.am.i', { channel: 2, on: true })).toMatchObject({
      result: 'root\n{"channel":2,"on":true}',
    });
  });

  it('fail when their service fails, with its output', async () => {
    expect(await call('fail')).toMatchObject(failed(/half\nno such package$/));
  });

  it('are stopped by their own unit when they take too long', async () => {
    expect(await call('hang')).toMatchObject(failed(/without ok/));
    const left = await box.done(['systemctl', 'list-units', '--all', '--plain', '--no-legend', 'hang@*']);
    expect(left).toBe('');
  });

  it('fail with another error when their socket does not exist', async () => {
    expect(await call('absent')).toMatchObject({ error: { message: expect.stringContaining('absent.sock') } });
  });

  it('have limits of their own, and an exposure of at most 2.0 by systemd-analyze security', async () => {
    copyOfPair(box, 'bounds', 'systemctl show --property=MemoryMax,TasksMax,RuntimeMaxUSec "bounds@*"; echo ok');
    await box.done(['sh', '-ec', 'systemctl daemon-reload; systemctl start bounds.socket']);
    const shown = await box.done(['perl', '-e', TALK, '/run/supersim-agent-root/bounds.sock']);
    expect(shown).toMatch(/^MemoryMax=67108864$/m);
    expect(shown).toMatch(/^TasksMax=16$/m);
    expect(shown).toMatch(/^RuntimeMaxUSec=1s$/m);
    const service = 'supersim-agent-reboot@1.service';
    await box.done(['systemd-analyze', 'security', '--no-pager', '--threshold=20', service]);
  });

  it('reboot the device as root; the command is not done before the device has booted again', async () => {
    const standIn = (command: string) => {
      const [read, ...rest] = ['read -r params', command, 'echo ok'];
      box.write(
        `${UNITS}/supersim-agent-reboot@.service.d/stand-in.conf`,
        `[Service]\nRuntimeDirectory=stand-in\nRuntimeDirectoryPreserve=yes\nExecStart=\nExecStart=/bin/sh -ec '${[read, ...rest].join('; ')}'\n`,
      );
      return box.done(['systemctl', 'daemon-reload']);
    };
    await standIn('id -un >/run/stand-in/who');
    const datagram = request('device.reboot');
    expect(await ask(box, datagram)).toEqual([expect.stringContaining('"running"')]);
    await expect.poll(() => box.run(['cat', '/run/stand-in/who'])).toMatchObject({ stdout: 'root\n' });
    // Also when it is asked again, once its service has said ok.
    expect(await ask(box, datagram)).toEqual([expect.stringContaining('"running"')]);
    await standIn('echo inhibited by an upgrade >&2; exit 1');
    const [, end = ''] = await ask(box, request('device.reboot'), 2);
    expect(JSON.parse(end)).toMatchObject(failed(/inhibited by an upgrade$/));
    await box.done(['rm', '-r', `${UNITS}/supersim-agent-reboot@.service.d`]);
    await box.done(['systemctl', 'daemon-reload']);
  });

  // The last one: it is the box’s end.
  it('really reboot it', async () => {
    expect(await ask(box, request('device.reboot'))).toEqual([expect.stringContaining('"running"')]);
    await expect.poll(() => isGone(box)).toBe(true);
  });
});

/** Sends a line to a socket, and prints what comes back. */
const TALK = `
use Socket; $| = 1;
socket(my $s, AF_UNIX, SOCK_STREAM, 0); connect($s, pack_sockaddr_un($ARGV[0])) or die "$!\\n";
syswrite($s, "{}\\n"); while (sysread($s, my $bytes, 4096)) { print $bytes }`;
