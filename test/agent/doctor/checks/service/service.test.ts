import { describe, expect, it } from 'vitest';
import { judgeService, service } from '../../../../../agent/doctor/checks/service/service.js';
import { expectJudgements, playProgram, run } from '../../support.js';
import { NOT_BOOTED, playSystemctl, RESTARTING, RUNNING } from './support.js';

describe('the doctor’s service check', () => {
  it('finds a service that runs and starts at boot', async () => {
    playSystemctl({});
    expect(await run(service)).toMatchObject([
      { severity: 'good', found: expect.stringContaining('active (running)') },
    ]);
  });

  it.each([
    ['its user is missing', { ...RESTARTING, Result: 'exit-code', ExecMainStatus: '217' }, 'systemd-sysusers'],
    ['its program is missing', { ...RESTARTING, Result: 'exit-code', ExecMainStatus: '203' }, 'ExecStart'],
    ['it exits with an error', { ...RESTARTING, Result: 'exit-code', ExecMainStatus: '1' }, 'config check'],
    ['the watchdog killed it', { ...RESTARTING, Result: 'watchdog', ExecMainStatus: '6' }, 'journalctl'],
    ['it ran out of memory', { ActiveState: 'failed', SubState: 'failed', Result: 'oom-kill' }, 'MemoryMax'],
    ['it was stopped', { ActiveState: 'inactive', SubState: 'dead' }, 'enable --now'],
    ['it is masked', { ActiveState: 'inactive', SubState: 'dead', UnitFileState: 'masked' }, 'enable --now'],
  ])('reports an error when %s', async (_what, properties, remedy) => {
    playSystemctl(properties);
    expect((await run(service))[0]).toMatchObject({ severity: 'error', remedy: expect.stringContaining(remedy) });
  });

  it.each([
    ['it was restarted', { NRestarts: '3' }, 'journalctl'],
    ['it does not start at boot', { UnitFileState: 'disabled' }, 'systemctl enable'],
    ['its unit file was changed', { NeedDaemonReload: 'yes' }, 'daemon-reload'],
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
  });
});

type Observation = Parameters<typeof judgeService>[0];

const unit = (change: Readonly<Record<string, string>>) => ({ unit: { properties: { ...RUNNING, ...change } } });
const ABSENT = { LoadState: 'not-found', ActiveState: 'inactive', SubState: 'dead' };
const STOPPED = { ActiveState: 'inactive', SubState: 'dead' };
const failed = (status: string) => unit({ ...RESTARTING, Result: 'exit-code', ExecMainStatus: status });

describe('judgeService', () => {
  it.each<[string, Partial<Observation>, RegExp[]]>([
    ['a running service', {}, [/^good: active \(running\) since Mon 2026-11-23 21:46:50 UTC$/]],
    ['a running service without a start time', unit({ ExecMainStartTimestamp: '' }), [/^good: active \(running\)$/]],
    ['systemctl that failed', { unit: { failed: 'not booted' } }, [/^note: systemctl failed: not booted$/]],
    [
      'a service that is not installed',
      { ...unit(ABSENT), isRunning: false },
      [/^warning: .*\(not-found\) → Install /],
    ],
    ['a service that is not installed while an agent runs', unit(ABSENT), [/^note: .* but an agent is running$/]],
    ['a unit without a load state', { unit: { properties: {} }, isRunning: false }, [/^warning: .*\(unknown\)/]],
    [
      'a service that was restarted',
      unit({ NRestarts: '3' }),
      [/^warning: active .* restarted 3 times after it exited → /],
    ],
    ['a stopped service', { ...unit(STOPPED), isRunning: false }, [/^error: inactive \(dead\) → .*enable --now/]],
    [
      'a stopped service while an agent runs',
      unit(STOPPED),
      [/^warning: inactive \(dead\), but an agent runs outside/],
    ],
    [
      'a starting service',
      unit({ ActiveState: 'activating', SubState: 'start' }),
      [/^note: activating \(start\): starting$/],
    ],
    [
      'a missing program',
      failed('203'),
      [/^error: activating \(auto-restart\), its program .* \(status 203\); .*ExecStart/],
    ],
    ['a missing group', failed('216'), [/^error: .*its group does not exist \(status 216\).*systemd-sysusers/]],
    ['a missing user', failed('217'), [/^error: .*its user does not exist \(status 217\).*systemd-sysusers/]],
    ['a mount namespace that fails', failed('226'), [/^error: .*mount namespace.*\(status 226\)/]],
    ['a runtime folder that fails', failed('233'), [/^error: .*folder in \/run.*\(status 233\)/]],
    ['a state folder that fails', failed('238'), [/^error: .*state folder.*\(status 238\)/]],
    [
      'an exit with an error',
      failed('1'),
      [/^error: .*the last exit was exit-code, status 1; restarted 0 times → .*config check/],
    ],
    [
      'a watchdog that fired',
      unit({ ...RESTARTING, Result: 'watchdog' }),
      [/^error: .*the watchdog killed it.*journalctl/],
    ],
    [
      'a service without memory',
      unit({ ActiveState: 'failed', SubState: 'failed', Result: 'oom-kill' }),
      [/^error: failed \(failed\), it ran out of memory.*MemoryMax=/],
    ],
    [
      'a disabled service',
      unit({ UnitFileState: 'disabled' }),
      [/^good/, /^warning: it does not start at boot → .*systemctl enable/],
    ],
    ['a masked service', unit({ UnitFileState: 'masked' }), [/^good/, /^error: it is masked → .*unmask/]],
    [
      'a changed unit file',
      unit({ NeedDaemonReload: 'yes' }),
      [/^good/, /^warning: .*not read it again → .*daemon-reload/],
    ],
  ])('judges %s', (_what, change, expected) => {
    expectJudgements(judgeService({ unit: { properties: RUNNING }, isRunning: true, ...change }), expected);
  });
});
