import { describe, expect, it } from 'vitest';
import { clock, judgeClock } from '../../../../../agent/doctor/checks/service/clock.js';
import { expectJudgements, playProgram, run } from '../../support.js';
import { NOT_BOOTED } from './support.js';

describe('the doctor’s clock check', () => {
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

  it('says what happens to commands with a deadline', async () => {
    playProgram('timedatectl', 'echo no');
    expect((await run(clock))[0]?.found).toContain('refused');
    expect((await run(clock, { deadline: { unsynchronized: 'run' } }))[0]?.found).toContain('marked');
  });
});

type Observation = Parameters<typeof judgeClock>[0];

describe('judgeClock', () => {
  it.each<[string, Omit<Observation, 'now'>, RegExp[]]>([
    ['a synchronised clock', { isSynchronized: true, unsynchronized: 'refuse' }, [/^good: synchronised, 1970-/]],
    [
      'an unknown clock',
      { isSynchronized: undefined, unsynchronized: 'refuse' },
      [/^note: unknown .* commands with a deadline are refused → .*`deadline\.unsynchronized: run`/],
    ],
    [
      'an unknown clock that is trusted',
      { isSynchronized: undefined, unsynchronized: 'run' },
      [/^note: .* run and marked → /],
    ],
    [
      'a clock that is not synchronised',
      { isSynchronized: false, unsynchronized: 'refuse' },
      [/^warning: the clock is not synchronised: 1970-.* are refused → .*set-ntp true/],
    ],
    [
      'a clock that is not synchronised but trusted',
      { isSynchronized: false, unsynchronized: 'run' },
      [/^warning: .* run and marked → /],
    ],
  ])('judges %s', (_what, observation, expected) => {
    expectJudgements(judgeClock({ ...observation, now: 0 }), expected);
  });
});
