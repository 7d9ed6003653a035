import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { startWatchdog, watchdogInterval } from '../../../../agent/service/systemd/watchdog.js';
import { deferred } from '../../../support/deferred.js';
import { recordingLog } from '../../../support/log.js';

describe('watchdogInterval', () => {
  it.each([
    ['60000000', undefined, 20_000],
    ['60000000', '17', 20_000],
    ['1000', '17', 1],
    ['1', undefined, 1],
    ['7776000000000', undefined, 2_147_483_647],
  ])('is less than half of WATCHDOG_USEC=%s with WATCHDOG_PID=%s', (usec, pid, expected) => {
    expect(watchdogInterval({ WATCHDOG_USEC: usec, WATCHDOG_PID: pid }, 17)).toBe(expected);
  });

  it.each([
    ['nothing is asked for', undefined, undefined],
    ['another process is meant', '60000000', '18'],
    ['it is no number', 'soon', undefined],
    ['it is none', '0', undefined],
    ['it is empty', '', undefined],
  ])('is undefined when %s', (_why, usec, pid) => {
    expect(watchdogInterval({ WATCHDOG_USEC: usec, WATCHDOG_PID: pid }, 17)).toBeUndefined();
  });
});

describe('startWatchdog', () => {
  beforeEach(() => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
  });

  function start(probe: () => Promise<void>) {
    const { log, withMessage } = recordingLog();
    let signs = 0;
    const notify = async (variables: object) => {
      expect(variables).toEqual({ WATCHDOG: '1' });
      signs++;
      return true;
    };
    const stop = startWatchdog({ intervalMs: 100, probe, notify, log });
    onTestFinished(stop);
    return {
      stop,
      complaints: () => withMessage('watchdog: probe failed, no keep-alive sent'),
      /** How many there are in so long. */
      async signsIn(ms: number): Promise<number> {
        const before = signs;
        await vi.advanceTimersByTimeAsync(ms);
        return signs - before;
      },
    };
  }

  it('sends keep-alives at the interval until it is stopped', async () => {
    const { signsIn, stop, complaints } = start(async () => undefined);
    expect(await signsIn(1000)).toBe(10);
    stop();
    expect(await signsIn(1000)).toBe(0);
    expect(complaints()).toEqual([]);
  });

  it('sends none while a probe is pending, and starts no second probe', async () => {
    const back = deferred();
    const probe = vi.fn(() => back.promise);
    const { signsIn, complaints } = start(probe);
    expect(await signsIn(1000)).toBe(0);
    expect(probe).toHaveBeenCalledTimes(1);
    expect(complaints()).toHaveLength(1);
    back.resolve();
    expect(await signsIn(100)).toBe(2);
  });

  it('sends none while the probe fails, and continues when it succeeds', async () => {
    let broken = true;
    const { signsIn, complaints } = start(async () => {
      if (broken) throw new Error('no ping');
    });
    expect(await signsIn(1000)).toBe(0);
    expect(complaints()).toMatchObject([{ details: { error: 'no ping' } }]);
    broken = false;
    expect(await signsIn(1000)).toBe(10);
  });
});
