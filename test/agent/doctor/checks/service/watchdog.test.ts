import { describe, expect, it } from 'vitest';
import { judgeWatchdog, watchdog } from '../../../../../agent/doctor/checks/service/watchdog.js';
import { expectJudgements, playProgram, run } from '../../support.js';
import { line, NOT_BOOTED, playJournal, playSystemctl, RESTARTING, RUNNING, STARTED } from './support.js';

describe('the doctor’s watchdog check', () => {
  it('finds a watchdog that was not triggered', async () => {
    playSystemctl({});
    playJournal(STARTED);
    expect(await run(watchdog)).toMatchObject([{ severity: 'good', found: expect.stringContaining('30s') }]);
  });

  it.each([
    ['0', 'of the unit'],
    ['infinity', 'of no unit'],
  ])('warns of a missing watchdog: %s, as systemd says %s', async (interval) => {
    playSystemctl({ WatchdogUSec: interval });
    playJournal(STARTED);
    expect(await run(watchdog)).toMatchObject([
      { severity: 'warning', remedy: expect.stringContaining('WatchdogSec') },
    ]);
  });

  it('reports a watchdog that killed the agent now or earlier in the day', async () => {
    playJournal(STARTED, line('supersim-agent.service: Watchdog timeout (limit 30s)!', '3'), STARTED);
    playSystemctl({ ...RESTARTING, Result: 'watchdog' });
    expect(await run(watchdog)).toMatchObject([{ severity: 'error', remedy: expect.stringContaining('event loop') }]);
    playSystemctl({});
    expect(await run(watchdog)).toMatchObject([
      { severity: 'warning', found: expect.stringContaining('2026-11-23T21:47:11') },
    ]);
  });

  it('says so where there is no systemd', async () => {
    playProgram('systemctl', NOT_BOOTED);
    expect(await run(watchdog)).toMatchObject([{ severity: 'note' }]);
  });
});

type Observation = Parameters<typeof judgeWatchdog>[0];

const unit = (change: Readonly<Record<string, string>>) => ({ unit: { properties: { ...RUNNING, ...change } } });
const log = (...texts: readonly string[]) => ({
  log: { lines: texts.map((text, index) => ({ at: index * 1000, priority: 3, text })) },
});

describe('judgeWatchdog', () => {
  it.each<[string, Partial<Observation>, RegExp[]]>([
    ['a watchdog that was not triggered', log('Started'), [/^good: every 30s; not triggered$/]],
    ['systemctl that failed', { unit: { failed: 'not booted' } }, [/^note: systemctl failed: not booted$/]],
    ['a service that is not installed', unit({ LoadState: 'not-found' }), [/^note: the service is not installed$/]],
    ['an agent that hangs', unit({ Result: 'watchdog' }), [/^error: the agent hung, .* → .*doctor --bundle/]],
    [
      'an agent that hung before',
      log('x: Watchdog timeout (limit 30s)!', "x: Failed with result 'watchdog'.", 'Started'),
      [/^warning: the agent hung at 1970-01-01T00:00:01\.000Z and was restarted → /],
    ],
    ['no watchdog: 0', unit({ WatchdogUSec: '0' }), [/^warning: no watchdog: .*WatchdogSec=30s/]],
    ['no watchdog: infinity', unit({ WatchdogUSec: 'infinity' }), [/^warning: no watchdog/]],
    ['no watchdog: empty', unit({ WatchdogUSec: '' }), [/^warning: no watchdog/]],
    ['no watchdog: absent', { unit: { properties: { LoadState: 'loaded' } } }, [/^warning: no watchdog/]],
  ])('judges %s', (_what, change, expected) => {
    expectJudgements(judgeWatchdog({ unit: { properties: RUNNING }, log: { lines: [] }, ...change }), expected);
  });
});
