import { describe, expect, it } from 'vitest';
import { createMinuteLog } from '../../../agent/base/rate-limited-log.js';
import { recordingLog } from '../../support/log.js';

function start() {
  let now = 5;
  const { log, lines } = recordingLog();
  return { minuteLog: createMinuteLog(log, () => now), lines, advance: (ms: number) => (now += ms) };
}

describe('a flood', () => {
  it('is logged at once, and then once a minute with how often it came', () => {
    const { minuteLog, lines, advance } = start();
    for (let i = 0; i < 1000; i++) minuteLog('source', { i }, 'refused');
    expect(lines).toEqual([{ level: 'warn', details: { cause: 'source', times: 1, i: 0 }, message: 'refused' }]);
    advance(59_999);
    minuteLog('source', { i: 1000 }, 'refused');
    expect(lines).toHaveLength(1);
    advance(1);
    minuteLog('source', { i: 1001 }, 'refused');
    expect(lines[1]?.details).toEqual({ cause: 'source', times: 1001, i: 1001 });
  });

  it('is counted anew after each line', () => {
    const { minuteLog, lines, advance } = start();
    for (const step of [0, 60_000, 60_000, 10, 60_000]) {
      advance(step);
      minuteLog('source', {}, 'refused');
    }
    expect(lines.map(({ details }) => details['times'])).toEqual([1, 1, 1, 2]);
  });

  it('of one cause hides none of another', () => {
    const { minuteLog, lines } = start();
    for (const cause of ['source', 'empty', 'source', 'empty', 'oversize']) minuteLog(cause, {}, 'refused');
    expect(lines.map(({ details }) => details['cause'])).toEqual(['source', 'empty', 'oversize']);
  });
});
