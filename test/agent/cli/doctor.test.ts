import { spawn } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { ConfigInput } from '../../../agent/config/schema.js';
import type { Report } from '../../../agent/doctor/examine.js';
import { IpCommandClient } from '../../../sender/index.js';
import { start as startLoopback } from '../../loopback/support.js';
import { temporaryFolder, writeFile, writeScript } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { program, runProcess, startProcess } from '../../support/process.js';
import { linkPath } from '../../support/pty.js';
import { randomAddress } from '../../support/udp.js';
import { environment, supersimAgent } from './support.js';

/** Programs of these names come before all others. */
function pathWith(programs: Readonly<Record<string, string>>): { readonly PATH: string } {
  const folder = temporaryFolder();
  for (const [name, script] of Object.entries(programs)) writeScript(script, folder, name);
  return { PATH: `${folder}${delimiter}${process.env['PATH']}` };
}

const reportOf = (stdout: string): Report => JSON.parse(stdout);

/** A device of which all that can be good is good. */
function healthyDevice(): ConfigInput {
  const folder = temporaryFolder();
  return {
    listen: { address: randomAddress(), receiveBufferBytes: 65_536 },
    gateway: { address: '127.0.0.1' },
    allow: ['127.0.0.0/8'],
    state: { folder },
    control: { socket: join(folder, 'control.sock') },
    device: { id: 'gateway-17', reboot: ['/bin/true'] },
  };
}

async function startAgent(config: ConfigInput, ready = /agent started/) {
  const file = writeFile(temporaryFolder(), 'config.yaml', JSON.stringify(config));
  const agent = startProcess(process.execPath, [program('supersim-agent'), 'run', '--config', file], environment());
  onTestFinished(() => agent.kill('SIGKILL'));
  await agent.line(ready);
  await expect.poll(() => existsSync(config.control?.socket ?? '') || agent.output()).toBe(true);
  return agent;
}

const NO_SYSTEMD = { systemctl: 'exit 1', journalctl: 'exit 1' };
/** Rules of the machine that runs the test are none of its business. */
const NO_FIREWALL = { nft: `echo '{"nftables":[]}'` };

describe('supersim-agent doctor', () => {
  it('exits with 0 without problems, and with 3 or 4 by the worst finding', async () => {
    const config = healthyDevice();
    await startAgent(config);
    const programs = { ...NO_SYSTEMD, ...NO_FIREWALL, timedatectl: 'echo yes' };
    const good = await supersimAgent(['doctor', '--json'], JSON.stringify(config), pathWith(programs));
    expect(reportOf(good.stdout).findings.filter(({ severity }) => ['warning', 'error'].includes(severity))).toEqual(
      [],
    );
    expect(good.code).toBe(0);
    const late = pathWith({ ...programs, timedatectl: 'echo no' });
    const warned = await supersimAgent(['doctor', '--json'], JSON.stringify(config), late);
    expect(warned.code).toBe(3);
    expect(reportOf(warned.stdout)).toMatchObject({ worst: 'warning', device: 'gateway-17' });
    const failed = await supersimAgent(['doctor', '--json'], 'listen: { prots: [1] }', pathWith(programs));
    expect(failed.code).toBe(4);
    expect(reportOf(failed.stdout).findings).toContainEqual(
      expect.objectContaining({ check: 'configuration', severity: 'error', code: 'config-invalid' }),
    );
  });

  it('prints what each check inspected, what it found, and what to do', async () => {
    const { code, stdout, stderr } = await supersimAgent(['doctor'], JSON.stringify(healthyDevice()));
    expect({ code, stderr }).toEqual({ code: 4, stderr: '' });
    expect(stdout).toMatch(/^supersim-agent \S+ on gateway-17, checked by \S+ at \S+Z\n/);
    expect(stdout).toMatch(
      /^error +agent +control socket .*\n +no agent .*\[control-unreachable\]\n +→ .*systemctl start/m,
    );
    expect(stdout).toMatch(/\n\d+ good, \d+ note, \d+ warning, \d+ error\n$/);
    const checks = new Set([...stdout.matchAll(/^(?:good|note|warning|error) +(\S+)/gm)].map(([, name]) => name));
    expect([...checks]).toEqual([
      ...[
        'configuration',
        'service',
        'watchdog',
        'agent',
        'log',
        'port',
        'interface',
        'route',
        'firewall',
        'interface-rules',
      ],
      ...['allow', 'security', 'buffer', 'serial', 'modem', 'clock', 'disk', 'journal', 'handlers'],
    ]);
    expect(stdout).not.toContain('\u001b');
  });

  it('does not wait for programs that hang', async () => {
    const hanging = Object.fromEntries(
      ['systemctl', 'journalctl', 'timedatectl', 'nft'].map((name) => [name, 'exec sleep 60']),
    );
    const { code, stdout } = await supersimAgent(
      ['doctor', '--json'],
      JSON.stringify(healthyDevice()),
      pathWith(hanging),
    );
    expect(code).toBe(4);
    for (const check of ['service', 'clock', 'firewall']) {
      expect(reportOf(stdout).findings).toContainEqual(expect.objectContaining({ check, severity: 'note' }));
    }
  });

  it('escapes control characters in findings', async () => {
    const line = JSON.stringify({ MESSAGE: 'Error: \u001b[2J', PRIORITY: '3', __REALTIME_TIMESTAMP: '1' });
    const env = pathWith({ ...NO_SYSTEMD, journalctl: `cat <<'END'\n${line}\nEND` });
    const { stdout } = await supersimAgent(['doctor'], JSON.stringify(healthyDevice()), env);
    expect(stdout).toContain('\\u001b[2J');
    expect(stdout.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
  });

  it.each([[['--bogus']], [['--socket=']], [['more']], [['--bundle=']]])(
    'exits with 2 for wrong arguments: %j',
    async (args) => {
      expect((await supersimAgent(['doctor', ...args])).code).toBe(2);
    },
  );

  it.skipIf(needs('python3'))('prints colours on a terminal, unless NO_COLOR is set', async () => {
    const show = async (extra: Record<string, string>) => {
      const script = 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)';
      const file = writeFile(temporaryFolder(), 'config.yaml', JSON.stringify(healthyDevice()));
      const args = [process.execPath, program('supersim-agent'), 'doctor', '--config', file];
      const child = spawn('python3', ['-c', script, ...args], {
        stdio: ['ignore', 'pipe', 'ignore'],
        env: environment(extra),
        timeout: 40_000,
      });
      return text(child.stdout);
    };
    expect(await show({ TERM: 'xterm' })).toContain('\u001b[31merror');
    expect(await show({ TERM: 'xterm', NO_COLOR: '1' })).not.toContain('\u001b');
  });
});

/** All that must be in no bundle. */
const SECRETS = ['env-secret-1', 'arg-secret-2', 'bearer-secret-3', 'unit-secret-4', 'log-secret-5', 'url-secret-6'];
const PAYLOAD = 'payload-secret-7';
const PIN = '1234';

/** The archive's files, by name. */
async function unpack(bundle: string): Promise<Map<string, string>> {
  const folder = temporaryFolder();
  expect((await runProcess('tar', ['-C', folder, '-xzf', bundle])).code).toBe(0);
  const { output } = await runProcess('tar', ['-tzf', bundle]);
  const names = output.split('\n').filter((name) => !name.endsWith('/'));
  return new Map(names.map((name) => [name.replace(/^.*\//, ''), readFileSync(join(folder, name), 'utf8')]));
}

describe('supersim-agent doctor --bundle', () => {
  it.skipIf(needs('node-pty'))(
    'writes what a bug report needs, without secrets and payloads',
    async () => {
      const path = linkPath();
      const { modem, accountSid, authToken, url, counters } = await startLoopback({
        modem: { dialect: 'quectel', path },
      });
      modem?.setSim('pin');
      const token = '--token';
      const config: ConfigInput = {
        ...healthyDevice(),
        gateway: {},
        allow: ['100.64.0.0/10'],
        link: { policy: 'modem' },
        modem: { path, pin: PIN },
        handlers: {
          'relay.set': {
            program: ['/bin/true', token, 'arg-secret-2', '-H', 'Authorization: Bearer bearer-secret-3'],
            environment: ['PATH', 'COLOUR=env-secret-1'],
          },
        },
      };
      await startAgent(config, /"modem up"/);
      const client = new IpCommandClient({ accountSid, authToken, baseUrl: url });
      await client.create({ sim: modem?.simName ?? '', payload: `#1 echo ${PAYLOAD}`, devicePort: 6969 });
      await expect.poll(() => counters.fromSim > 0 || counters).toBe(true);
      const hex = Buffer.from(PAYLOAD).toString('hex');
      const messages = [
        `{"level":"error","msg":"it failed with env-secret-1","error":"password=log-secret-5"}`,
        `{"level":"trace","hex":"${hex}","msg":"datagram in"}`,
        'fetch https://joe:url-secret-6@example.com failed',
        '{"level":"info","address":"100.64.5.6","msg":"listening"}',
      ];
      const log = messages.map((MESSAGE) =>
        JSON.stringify({ MESSAGE, PRIORITY: '6', __REALTIME_TIMESTAMP: '1795470431757000' }),
      );
      const env = pathWith({
        journalctl: `cat <<'END'\n${log.join('\n')}\nEND`,
        systemctl: `[ "$1" = cat ] && printf '[Service]\\nEnvironment=WORD=unit-secret-4 SUPERSIM_AGENT_LOG_LEVEL=debug\\n'; exit 0`,
      });
      const bundle = join(temporaryFolder(), 'report.tar.gz');
      const result = await supersimAgent(['doctor', '--bundle', bundle], JSON.stringify(config), env);
      expect(result.stderr).toContain(bundle);
      expect(statSync(bundle).mode & 0o777).toBe(0o600);
      const files = await unpack(bundle);
      expect([...files.keys()].sort()).toEqual([
        ...['config.yaml', 'log.txt', 'modem.log', 'network.txt', 'report.json', 'report.txt'],
        ...['status.json', 'system.txt', 'unit.txt'],
      ]);
      for (const [name, content] of files) {
        for (const secret of [...SECRETS, PAYLOAD, `"${PIN}"`]) {
          expect([name, content.includes(secret), content.includes(Buffer.from(secret).toString('hex'))]).toEqual([
            name,
            false,
            false,
          ]);
        }
      }
      // What is hidden was there, and what is of use still is.
      expect(files.get('config.yaml')).toMatch(/pin: "?\*\*\*/);
      expect(files.get('config.yaml')).toContain('COLOUR=***');
      expect(files.get('log.txt')).toContain('it failed with ***');
      expect(files.get('log.txt')).toContain('"address":"100.64.5.6"');
      expect(files.get('modem.log')).toContain(Buffer.from('AT+QISEND').toString('hex'));
      expect(files.get('modem.log')).toContain(`${Buffer.from('AT+CPIN="****"').toString('hex')}`);
      expect(files.get('unit.txt')).toContain('SUPERSIM_AGENT_LOG_LEVEL=debug');
      expect(files.get('unit.txt')).toContain('WORD=***');
      expect(files.get('system.txt')).toContain(process.version);
      expect(files.get('network.txt')).toContain('local_address');
      expect(JSON.parse(files.get('status.json') ?? '')).toMatchObject({ link: { name: 'modem' } });
      expect(JSON.parse(files.get('report.json') ?? '')).toMatchObject({ device: 'gateway-17' });
    },
    60_000,
  );

  it('overwrites no file, and leaves none behind when it fails', async () => {
    const bundle = writeFile(temporaryFolder(), 'there.tar.gz', 'mine');
    const result = await supersimAgent(
      ['doctor', '--bundle', bundle],
      JSON.stringify(healthyDevice()),
      pathWith(NO_SYSTEMD),
    );
    expect(result).toMatchObject({ code: 2, stderr: expect.stringMatching(/^error bad-input: .*exists already/) });
    expect(readFileSync(bundle, 'utf8')).toBe('mine');
    const nowhere = join(temporaryFolder(), 'no', 'where.tar.gz');
    expect((await supersimAgent(['doctor', '--bundle', nowhere], JSON.stringify(healthyDevice()))).code).toBe(2);
    const other = join(temporaryFolder(), 'x.tar.gz');
    const broken = pathWith({ ...NO_SYSTEMD, tar: 'exit 1' });
    expect((await supersimAgent(['doctor', '--bundle', other], JSON.stringify(healthyDevice()), broken)).code).toBe(2);
    expect(existsSync(other)).toBe(false);
  });

  it('bounds the archive, and works without an agent, a journal and systemd', async () => {
    const line = JSON.stringify({ MESSAGE: 'x'.repeat(4000), PRIORITY: '6', __REALTIME_TIMESTAMP: '1' });
    const env = pathWith({ ...NO_SYSTEMD, journalctl: `yes '${line}' | head -n 5000` });
    const bundle = join(temporaryFolder(), 'report.tar.gz');
    const config = JSON.stringify(healthyDevice());
    await supersimAgent(['doctor', '--bundle', bundle], config, env);
    const files = await unpack(bundle);
    for (const content of files.values()) expect(Buffer.byteLength(content)).toBeLessThanOrEqual(512 * 1024);
    expect(files.get('log.txt')?.length).toBeGreaterThan(100_000);
    expect(files.get('status.json')).toContain('control.sock');
  });
});
