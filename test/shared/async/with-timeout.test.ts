import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { raceTimeout, withTimeout } from '../../../shared/async/with-timeout.js';

const never = () => new Promise<never>(() => {});
const untilAborted = (signal: AbortSignal) => sleep(60_000, 'too late', { signal });

describe('withTimeout', () => {
  it('gives what the work gives, and what it throws', async () => {
    expect(await withTimeout(1000, async () => 'done')).toBe('done');
    const broken = new Error('broken');
    await expect(withTimeout(1000, () => Promise.reject(broken))).rejects.toBe(broken);
  });

  it('aborts the work’s signal after the time, with a reason that says so', async () => {
    const seen: unknown[] = [];
    const work = (signal: AbortSignal) => untilAborted(signal).catch(() => void seen.push(signal.reason));
    await withTimeout(10, work);
    expect(seen).toEqual([new Error('no answer within 10 ms')]);
    await withTimeout(10, work, { reason: (ms) => new RangeError(`${ms}`) });
    expect(seen[1]).toEqual(new RangeError('10'));
  });

  it('aborts the work’s signal when the other one is aborted, before or during the work', async () => {
    const other = new AbortController();
    const work = withTimeout(60_000, untilAborted, { signal: other.signal });
    other.abort(new Error('stopped'));
    await expect(work).rejects.toMatchObject({ name: 'AbortError' });
    const late = await withTimeout(60_000, async (signal) => signal.aborted, { signal: other.signal });
    expect(late).toBe(true);
  });
});

describe('raceTimeout', () => {
  it('settles as the promise does within the time', async () => {
    expect(await raceTimeout(1000, Promise.resolve('done'))).toBe('done');
    const broken = new Error('broken');
    await expect(raceTimeout(1000, Promise.reject(broken))).rejects.toBe(broken);
  });

  it('rejects after the time, and when the signal is aborted', async () => {
    await expect(raceTimeout(10, never())).rejects.toEqual(new Error('no answer within 10 ms'));
    const reason = (ms: number) => new Error(`no end in ${ms} ms`);
    await expect(raceTimeout(10, never(), { reason })).rejects.toEqual(new Error('no end in 10 ms'));
    const stopped = new Error('stopped');
    await expect(raceTimeout(60_000, never(), { signal: AbortSignal.abort(stopped) })).rejects.toBe(stopped);
  });
});
