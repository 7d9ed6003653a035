import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, installAgent, startAgent } from '../../support/box-agent.js';
import { needs } from '../../support/needs.js';
import { BOX_TIMEOUT_MS, bootBox, type SystemdBox } from '../../support/systemd-box.js';

const AGENT = 'supersim-agent';
/** sysusers.d and the unit give the agent this user. */
const USER = 'supersim-agent';

/** ptrace(PTRACE_TRACEME), which asks to be traced by one's own parent. */
const TRACE_ME = `perl -e 'exit(syscall(${process.arch === 'arm64' ? 117 : 101}, 0, 0, 0, 0) == 0 ? 0 : $!)'`;
const socketOf = (family: string, protocol: number) =>
  `perl -e 'use Socket; socket(my $s, ${family}, SOCK_RAW, ${protocol}) or die "$!\\n"'`;

const CAP_SYS_RESOURCE = 24;

/** Whether this process, and so the box, has a capability. */
function hasCapability(number: number): boolean {
  const [, bits = '0'] = /^CapEff:\t([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return ((BigInt(`0x${bits}`) >> BigInt(number)) & 1n) === 1n;
}

describe.skipIf(needs('root', 'unshare', 'mmdebstrap'))('the service under systemd', () => {
  let box: SystemdBox;
  beforeAll(async () => {
    box = await bootBox();
    await installAgent(box, {
      handlers: { shell: { program: ['/bin/sh', '-c', 'eval "$SUPERSIM_ARG_1" 2>&1; echo "[$?]"'] } },
    });
    const prepared = [
      ...['mkdir -m 777 /home/open /etc/open /var/open', 'echo secret >/home/open/secret'],
      // One of those that udev makes where there are such devices: a FUSE one, and a serial port.
      ...['mknod -m 666 /dev/open c 10 229', 'mknod -m 660 /dev/ttyS3 c 4 67', 'chgrp dialout /dev/ttyS3'],
    ];
    await box.done(['sh', '-ec', prepared.join('\n')]);
    await startAgent(box);
  }, BOX_TIMEOUT_MS);
  afterAll(() => box.stop());

  /** Has a program handler of the agent run a line of shell; the last of its output is the exit code. */
  async function inside(line: string): Promise<string> {
    const [reply = ''] = await ask(box, JSON.stringify({ method: 'shell', params: [line], id: randomUUID() }));
    const { result } = JSON.parse(reply);
    return String(result);
  }

  /** The same as the agent's user, but not in its service. */
  async function outside(line: string, user = USER): Promise<string> {
    const { code, stdout, stderr } = await box.run(['sh', '-c', line], { user });
    return `${stdout}${stderr}[${code}]`;
  }

  it('answers commands that arrive through the carrier, with its information about the device', async () => {
    expect(await ask(box, '#1 ping')).toEqual(['#1 ok pong']);
    // The interfaces are told by netlink, the boot id by /proc, the clock by D-Bus.
    expect(await ask(box, '#2 info')).toEqual([expect.stringMatching(/bootId=[0-9a-f-]{36} .*wwan0=100\.64\.7\.7/)]);
    expect(await ask(box, '#3 health')).toEqual([expect.stringContaining('clockSynchronized=false')]);
    expect(await box.journal(AGENT)).toContainEqual(expect.stringContaining('"receiveBufferBytes":4194304'));
  });

  it('has an exposure of at most 2.0 by systemd-analyze security', async () => {
    const printed = await box.done(['systemd-analyze', 'security', '--no-pager', '--threshold=20', AGENT]);
    const exposure = Number(/Overall exposure level for supersim-agent\.service: (\d+\.\d)/.exec(printed)?.[1]);
    expect(exposure).toBeGreaterThan(0);
    expect(exposure).toBeLessThanOrEqual(2);
  });

  it('limits memory and tasks, and continues when a program is killed for its memory', async () => {
    const shown = await box.done(['systemctl', 'show', AGENT]);
    const value = (property: string) => new RegExp(`^${property}=(.*)$`, 'm').exec(shown)?.[1];
    expect(Number(value('MemoryMax'))).toBe(384 * 2 ** 20);
    expect(Number(value('MemoryHigh'))).toBe(256 * 2 ** 20);
    expect(value('TasksMax')).toBe('256');
    expect(value('OOMPolicy')).toBe('continue');
    expect(value('OOMScoreAdjust')).toBe('-500');
    expect(value('Restart')).toBe('always');
    expect(value('RestartUSec')).toBe('5s');
    expect(value('StartLimitIntervalUSec')).toBe('0');
    expect(value('WatchdogUSec')).toBe('1min');
    // systemd ignores the score where it may not set it, as in some containers.
    const score = await box.done(['cat', `/proc/${value('MainPID')}/oom_score_adj`]);
    expect(score).toBe(hasCapability(CAP_SYS_RESOURCE) ? '-500' : '0');
    // What it really has when idle leaves room for its handlers.
    const status = await box.done(['cat', `/proc/${value('MainPID')}/status`]);
    expect(Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1])).toBeLessThan(128 * 1024);
    expect(Number(/^Threads:\s+(\d+)$/m.exec(status)?.[1])).toBeLessThan(32);
  });

  it('has a program and what it starts killed before itself when memory runs out', async () => {
    const wait = 'until [ "$(cat /proc/$$/oom_score_adj)" = 500 ]; do sleep 0.01; done';
    expect(await inside(`${wait}; cat /proc/self/oom_score_adj`)).toBe('500\n[0]');
  });

  it('has files that other users cannot read', async () => {
    const listed = await box.done(['find', '/var/lib/supersim-agent', '/run/supersim-agent', '-printf', '%p %u %m\n']);
    const files = listed.split('\n');
    expect(files).toContain('/run/supersim-agent supersim-agent 750');
    expect(files).toContain('/run/supersim-agent/control.sock supersim-agent 660');
    const state = files.filter((line) => line.startsWith('/var/lib/supersim-agent/'));
    expect(state.length).toBeGreaterThan(0);
    for (const line of state) expect(line).toMatch(/ supersim-agent 6?00$/);
  });

  it('lets programs do what needs no privileges', async () => {
    const useful = [
      ...['cd /var/lib/supersim-agent', 'date >kept', 'cat kept', 'rm kept'],
      ...[
        'mktemp',
        'ls /etc | sort | head -n 1',
        'nice true',
        'timedatectl show >/dev/null',
        'ip route get 100.64.0.1',
        'touch own; chown :supersim-agent own; rm own',
      ],
      ...['perl -e "print 6*7"', 'node -p 6*7', 'systemctl is-active supersim-agent'],
    ];
    const told = await inside(`(set -e; ${useful.join('; ')})`);
    expect(told).toMatch(/42.*active\n\[0\]$/s);
    expect(await inside('id -un; id -Gn')).toBe('supersim-agent\nsupersim-agent dialout\n[0]');
  });

  // Each is not refused so to the same user outside of the service: it is the sandbox that does.
  it.each([
    ['writing below /etc', 'touch /etc/open/file', 'Read-only file system'],
    ['writing below /var', 'touch /var/open/file', 'Read-only file system'],
    ['writing below /home', 'touch /home/open/file', 'No such file|Permission denied'],
    ['reading below /home', 'cat /home/open/secret', 'No such file|Permission denied'],
    ['another device', 'true </dev/open', 'Operation not permitted'],
    ['being traced', TRACE_ME, '^\\[1\\]$'],
    ['a user namespace', 'unshare --user true', 'Operation not permitted'],
    ['a file that runs as its owner', 'f=$(mktemp) && chmod u+s $f', 'Operation not permitted'],
    ['another personality', 'setarch --addr-no-randomize true', 'Operation not permitted'],
    ['a priority', 'chrt --batch 0 true', 'Operation not permitted'],
    ['a packet socket', socketOf('17', 0), 'Address family not supported'],
  ])('refuses %s', async (_what, line, refusal) => {
    const told = await inside(line);
    expect(told).toMatch(new RegExp(refusal));
    expect(told).not.toMatch(/\[0\]$/);
    expect(await outside(line)).not.toMatch(new RegExp(refusal));
  });

  // These need root anyway; none of it is to be had by a program with the set-user-ID bit either.
  it.each([
    ['a raw socket', socketOf('AF_INET', 1), 'Operation not permitted'],
    ['a device of its own', 'mknod /tmp/device c 10 229', 'Operation not permitted'],
    ['a mount', 'mount -t tmpfs tmpfs /tmp', 'superuser'],
    ['a kernel setting', 'echo 1 >/proc/sys/kernel/printk', 'Read-only|Permission denied'],
    ['another user', 'setpriv --reuid=0 true', 'Operation not permitted'],
    ['the clock', 'date -s 2030-01-01', 'Operation not permitted'],
    ['another host name', 'hostname elsewhere', 'Operation not permitted|must be root'],
  ])('refuses %s', async (_what, line, refusal) => {
    const told = await inside(line);
    expect(told).toMatch(new RegExp(refusal));
    expect(told).not.toMatch(/\[0\]$/);
  });

  it('has no capabilities and cannot gain any', async () => {
    const status = await inside('grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/self/status');
    expect(status).toMatch(/^CapInh:\t0+\nCapPrm:\t0+\nCapEff:\t0+\nCapBnd:\t0+\nCapAmb:\t0+\n/);
    expect(status).toContain('NoNewPrivs:\t1\nSeccomp:\t2\n');
  });

  it('has a /tmp of its own', async () => {
    expect(await inside('echo mine >/tmp/mine')).toBe('[0]');
    expect(await outside('cat /tmp/mine')).toContain('No such file');
  });

  it('can use a serial port through its group', async () => {
    // The driver has perhaps no such port.
    expect(await inside('true </dev/ttyS3')).not.toMatch(/not permitted|denied/);
    expect(await outside('true </dev/ttyS3', 'nobody')).toContain('Permission denied');
  });

  it('grants a program more by a drop-in, as the README describes', async () => {
    box.write(
      '/etc/systemd/system/supersim-agent.service.d/override.conf',
      '[Service]\nDeviceAllow=/dev/open rw\nReadWritePaths=/var/open\n',
    );
    await box.done(['systemctl', 'daemon-reload']);
    await startAgent(box);
    expect(await inside('true </dev/open')).not.toContain('not permitted');
    expect(await inside('touch /var/open/file')).toBe('[0]');
    expect(await inside('touch /etc/open/file')).toContain('Read-only');
  });
});
