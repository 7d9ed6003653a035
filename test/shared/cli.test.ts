import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatError, printable } from '../../shared/cli.js';
import { ERRORS, SupersimError } from '../../shared/errors.js';
import { SEED } from '../support/seed.js';

describe('text for a terminal', () => {
  it('has no characters that control a terminal', () => {
    expect(printable('a\x1b[2Jb\r\n\tc\x07\x7f\u{9b}')).toBe('a\\u001b[2Jb\\r\\n\\tc\\u0007\\u007f\\u009b');
    expect(printable('\u{202e}x\u{2028}\u{2066}')).toBe('\\u202ex\\u2028\\u2066');
    expect(printable('\ud800')).toBe('\\ud800');
    expect(printable('größe 😀')).toBe('größe 😀');
  });

  it('keeps the meaning of JSON on one line', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
        const json = JSON.stringify(value);
        expect(JSON.parse(printable(json))).toEqual(JSON.parse(json));
      }),
      { seed: SEED, numRuns: 500 },
    );
  });
});

describe('an error for a terminal', () => {
  it('shows code, message and remedy of a SupersimError', () => {
    expect(formatError(new SupersimError('busy', 'too\x1bmany'))).toBe(
      `error busy: too\\u001bmany\n${ERRORS.busy.remedy}\n`,
    );
  });

  it('shows the message of any other error', () => {
    expect(formatError(new Error('x\x1b'))).toBe('error: x\\u001b\n');
    expect(formatError(null)).toBe('error: null\n');
  });
});
