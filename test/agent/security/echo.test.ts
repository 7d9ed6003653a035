import { describe, expect, it } from 'vitest';
import { createEchoValues, ECHO_MS } from '../../../agent/security/echo.js';
import { flips } from '../../support/oscore.js';

/** Values with a clock that the test moves. */
function start(now = 12_345) {
  const clock = { now };
  return { clock, ...createEchoValues(() => clock.now) };
}

describe('an Echo value', () => {
  it('is ours for its subject, as often as it comes, until it is too old', () => {
    const { clock, valueFor, isOurs } = start();
    const value = valueFor('a');
    expect([isOurs('a', value), isOurs('a', value), isOurs('a', new Uint8Array(value))]).toEqual([true, true, true]);
    clock.now += ECHO_MS - 1000;
    expect(isOurs('a', value)).toBe(true);
    clock.now += 1000;
    expect(isOurs('a', value)).toBe(false);
  });

  it('is not ours for another subject, of another run, or of the future', () => {
    const { clock, valueFor, isOurs } = start();
    expect(isOurs('b', valueFor('a'))).toBe(false);
    expect(isOurs('a', start().valueFor('a'))).toBe(false);
    const value = valueFor('a');
    clock.now -= 1000;
    expect(isOurs('a', value)).toBe(false);
  });

  it('is not ours with a bit changed, or of another length', () => {
    const { valueFor, isOurs } = start();
    const value = valueFor('a');
    for (const changed of flips(value)) expect(isOurs('a', changed)).toBe(false);
    for (const other of [Buffer.alloc(0), value.subarray(1), value.subarray(0, -1), Buffer.concat([value, value])]) {
      expect(isOurs('a', other)).toBe(false);
    }
  });

  it('is short enough for the option, and can be made for a hundred years', () => {
    const { valueFor, isOurs } = start(100 * 366 * 86_400_000);
    expect(valueFor('a').length).toBeLessThanOrEqual(40);
    expect(isOurs('a', valueFor('a'))).toBe(true);
  });
});
