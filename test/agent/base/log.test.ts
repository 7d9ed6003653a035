import { describe, expect, it } from 'vitest';
import { createRateLimitedLog } from '../../../agent/base/log.js';
import { recordingLog } from '../../support/log.js';

function start() {
  let now = 5;
  const { log, lines } = recordingLog();
  return { rateLimitedLog: createRateLimitedLog(log, () => now), lines, advance: (ms: number) => (now += ms) };
}

describe('the rate-limited log', () => {
  it('logs a cause at once, and then once a minute with its number', () => {
    const { rateLimitedLog, lines, advance } = start();
    for (let i = 0; i < 1000; i++) rateLimitedLog('source', { i }, 'refused');
    expect(lines).toEqual([{ level: 'warn', details: { cause: 'source', times: 1, i: 0 }, message: 'refused' }]);
    advance(59_999);
    rateLimitedLog('source', { i: 1000 }, 'refused');
    expect(lines).toHaveLength(1);
    advance(1);
    rateLimitedLog('source', { i: 1001 }, 'refused');
    expect(lines[1]?.details).toEqual({ cause: 'source', times: 1001, i: 1001 });
  });

  it('counts from zero after each line', () => {
    const { rateLimitedLog, lines, advance } = start();
    for (const step of [0, 60_000, 60_000, 10, 60_000]) {
      advance(step);
      rateLimitedLog('source', {}, 'refused');
    }
    expect(lines.map(({ details }) => details['times'])).toEqual([1, 1, 1, 2]);
  });

  it('limits each cause by itself', () => {
    const { rateLimitedLog, lines } = start();
    for (const cause of ['source', 'empty', 'source', 'empty', 'oversize']) rateLimitedLog(cause, {}, 'refused');
    expect(lines.map(({ details }) => details['cause'])).toEqual(['source', 'empty', 'oversize']);
  });
});
