import { describe, expect, it } from 'vitest';
import { durationSchema, milliseconds } from '../../shared/duration.js';

describe('a duration', () => {
  it.each([
    ['500ms', 500],
    ['0s', 0],
    ['10s', 10_000],
    ['1.5s', 1500],
    ['2min', 120_000],
    ['1h', 3_600_000],
    ['0.25h', 900_000],
  ])('%s is %i milliseconds', (text, expected) => {
    expect(milliseconds(text)).toBe(expected);
  });

  it.each([
    '',
    '10',
    's',
    '10 s',
    ' 10s',
    '10s\n',
    '-1s',
    '+1s',
    '1e3s',
    '.5s',
    '1.s',
    '1,5s',
    '10S',
    '10m',
    '10sec',
    '1s1s',
    'constructor',
    '9999999999s',
  ])('%j is not a duration', (text) => {
    expect(() => milliseconds(text)).toThrow(RangeError);
    expect(durationSchema('0s', '24h').safeParse(text).success).toBe(false);
  });

  it('is within its bounds, the bounds themselves included', () => {
    const schema = durationSchema('100ms', '1min');
    const accepted = ['99ms', '100ms', '0.1s', '60s', '1min', '60.001s', '1h'].filter(
      (text) => schema.safeParse(text).success,
    );
    expect(accepted).toEqual(['100ms', '0.1s', '60s', '1min']);
    expect(schema.safeParse(100).success).toBe(false);
  });
});
