import { describe, expect, it } from 'vitest';
import { clock } from '../../../../agent/doctor/checks/service/clock.js';
import { log } from '../../../../agent/doctor/checks/service/log.js';
import { service } from '../../../../agent/doctor/checks/service/service.js';
import { watchdog } from '../../../../agent/doctor/checks/service/watchdog.js';
import { playProgram, run } from '../support.js';

/** What `systemctl show` of systemd 252 printed of the service when it ran. */
const RUNNING = {
  WatchdogUSec: '30s',
  Result: 'success',
  NRestarts: '0',
  ExecMainStartTimestamp: 'Mon 2026-11-23 21:46:50 UTC',
  ExecMainCode: '0',
  ExecMainStatus: '0',
  User: 'root',
  LoadState: 'loaded',
  ActiveState: 'active',
  SubState: 'running',
  UnitFileState: 'enabled',
  NeedDaemonReload: 'no',
};
const RESTARTING = { ActiveState: 'activating', SubState: 'auto-restart', ExecMainCode: '1' };

function playSystemctl(properties: Readonly<Record<string, string>>): void {
  const lines = Object.entries({ ...RUNNING, ...properties }).map(([name, value]) => `${name}=${value}`);
  playProgram('systemctl', `cat <<'END'\n${lines.join('\n')}\nEND`);
}

const NOT_BOOTED =
  'echo "System has not been booted with systemd as init system (PID 1). Can\'t operate." >&2\n' +
  'echo "Failed to connect to bus: Host is down" >&2\nexit 1';

describe('service', () => {
  it('is good when it runs, and is started at boot', async () => {
    playSystemctl({});
    expect(await run(service)).toMatchObject([
      { severity: 'good', found: expect.stringContaining('active (running)') },
    ]);
  });

  it.each([
    ['its user is missing', { ...RESTARTING, Result: 'exit-code', ExecMainStatus: '217' }, 'systemd-sysusers'],
    ['its program is missing', { ...RESTARTING, Result: 'exit-code', ExecMainStatus: '203' }, 'ExecStart'],
    ['it ends with an error', { ...RESTARTING, Result: 'exit-code', ExecMainStatus: '1' }, 'config check'],
    ['the watchdog ended it', { ...RESTARTING, Result: 'watchdog', ExecMainStatus: '6' }, 'journalctl'],
    ['it ran out of memory', { ActiveState: 'failed', SubState: 'failed', Result: 'oom-kill' }, 'MemoryMax'],
    ['it was stopped', { ActiveState: 'inactive', SubState: 'dead' }, 'enable --now'],
    ['it is masked', { ActiveState: 'inactive', SubState: 'dead', UnitFileState: 'masked' }, 'enable --now'],
  ])('is wrong when %s', async (_what, properties, remedy) => {
    playSystemctl(properties);
    expect((await run(service))[0]).toMatchObject({ severity: 'error', remedy: expect.stringContaining(remedy) });
  });

  it.each([
    ['it was started again by itself', { NRestarts: '3' }, 'journalctl'],
    ['it is not started at boot', { UnitFileState: 'disabled' }, 'systemctl enable'],
    ['its file was changed', { NeedDaemonReload: 'yes' }, 'daemon-reload'],
    ['it is not installed', { LoadState: 'not-found', ActiveState: 'inactive', SubState: 'dead' }, 'Install'],
  ])('warns when %s', async (_what, properties, remedy) => {
    playSystemctl(properties);
    expect(await run(service)).toContainEqual(
      expect.objectContaining({ severity: 'warning', remedy: expect.stringContaining(remedy) }),
    );
  });

  it('says so where there is no systemd', async () => {
    playProgram('systemctl', NOT_BOOTED);
    expect(await run(service)).toMatchObject([{ severity: 'note', found: expect.stringContaining('not been booted') }]);
    expect(await run(watchdog)).toMatchObject([{ severity: 'note' }]);
  });
});

/** What `journalctl --output=json` printed. */
const line = (message: unknown, priority = '6', at = '1795470431757000') =>
  JSON.stringify({ MESSAGE: message, PRIORITY: priority, __REALTIME_TIMESTAMP: at, __CURSOR: 's=1', _BOOT_ID: '7301' });

const playJournal = (...lines: readonly string[]) => playProgram('journalctl', `cat <<'END'\n${lines.join('\n')}\nEND`);

const STARTED = line('{"level":"info","time":1795470410485,"device":"vm","commands":7,"msg":"agent started"}');

describe('watchdog', () => {
  it('is good when it is set, and did not have to act', async () => {
    playSystemctl({});
    playJournal(STARTED);
    expect(await run(watchdog)).toMatchObject([{ severity: 'good', found: expect.stringContaining('30s') }]);
  });

  it.each([
    ['0', 'of the unit'],
    ['infinity', 'of no unit'],
  ])('is missing: %s, as systemd says %s', async (interval) => {
    playSystemctl({ WatchdogUSec: interval });
    playJournal(STARTED);
    expect(await run(watchdog)).toMatchObject([
      { severity: 'warning', remedy: expect.stringContaining('WatchdogSec') },
    ]);
  });

  it('had to act: now, and earlier in the day', async () => {
    playJournal(STARTED, line('supersim-agent.service: Watchdog timeout (limit 30s)!', '3'), STARTED);
    playSystemctl({ ...RESTARTING, Result: 'watchdog' });
    expect(await run(watchdog)).toMatchObject([{ severity: 'error', remedy: expect.stringContaining('loops') }]);
    playSystemctl({});
    expect(await run(watchdog)).toMatchObject([
      { severity: 'warning', found: expect.stringContaining('2026-11-23T21:47:11') },
    ]);
  });
});

describe('log', () => {
  it('is good without an error', async () => {
    playJournal(STARTED, line('Started supersim-agent.service - Agent for Super SIM IP Commands.'));
    expect(await run(log)).toMatchObject([{ severity: 'good' }]);
  });

  it('tells the last errors: the agent’s own with its remedy, and those of who could not start it', async () => {
    playJournal(
      line(
        '{"level":"error","time":1,"handler":"relay.set","error":"/x is no file","remedy":"Make it.","msg":"a handler is set aside"}',
      ),
    );
    expect(await run(log)).toMatchObject([
      { severity: 'warning', found: expect.stringMatching(/relay\.set \/x is no file/), remedy: 'Make it.' },
    ]);
    for (const text of [
      'error config-invalid: /etc/supersim-agent/config.yaml:1:11: listen.prots is unknown; did you mean ports?',
      "Error: Cannot find module '/usr/lib/supersim-agent/supersim-agent.js'",
      'supersim-agent.service: Main process exited, code=killed, status=9/KILL',
    ]) {
      playJournal(STARTED, line(text), STARTED);
      expect(await run(log)).toMatchObject([{ severity: 'warning', found: expect.stringContaining(text) }]);
    }
    playJournal(line('Failed to start supersim-agent.service', '3'));
    expect(await run(log)).toMatchObject([{ severity: 'warning' }]);
  });

  it('reads messages that are no text, and what is no entry', async () => {
    playJournal(line([...Buffer.from('Error: caf\u00e9')]), line(null), '{', '');
    expect(await run(log)).toMatchObject([{ severity: 'warning', found: expect.stringContaining('Error: café') }]);
  });

  it('cannot be seen by everybody', async () => {
    playProgram('journalctl', 'echo "No journal files were opened due to insufficient permissions." >&2; exit 1');
    expect(await run(log)).toMatchObject([{ severity: 'note', remedy: expect.stringContaining('sudo') }]);
  });
});

describe('clock', () => {
  it.each([
    ['echo yes', 'good'],
    ['echo no', 'warning'],
    [NOT_BOOTED, 'note'],
    ['exec sleep 60', 'note'],
  ])('when timedatectl does `%s`: %s', async (script, severity) => {
    playProgram('timedatectl', script);
    const [found] = await run(clock);
    expect(found).toMatchObject({ severity });
    if (severity === 'warning') expect(found?.remedy).toContain('set-ntp');
  });

  it('says what becomes of deadlines', async () => {
    playProgram('timedatectl', 'echo no');
    expect((await run(clock))[0]?.found).toContain('refused');
    expect((await run(clock, { deadline: { unsynchronized: 'run' } }))[0]?.found).toContain('marked');
  });
});
