import fc from 'fast-check';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { CommandLine } from '../../../../agent/base/log.js';
import { formatCommandLine } from '../../../../agent/cli/run/logger.js';
import { FORMATS } from '../../../../shared/command.js';
import { DEVICE_OUTCOMES } from '../../../../shared/outcome.js';
import { SEED } from '../../../support/seed.js';

/** The line that pino writes. */
function pinoLine(line: CommandLine): string {
  const written: string[] = [];
  const stream = { write: (text: string) => void written.push(text) };
  const log = pino({ base: null, formatters: { level: (label) => ({ level: label }) } }, stream);
  log.info({ ...line }, 'command');
  return written.join('');
}

const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('', '"', '\\', '\n', '\u2028'));
const command: fc.Arbitrary<CommandLine> = fc.record(
  {
    id: fc.oneof(
      text,
      fc.integer(),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.constantFrom(null, undefined),
    ),
    name: fc.option(text, { nil: undefined }),
    peer: text,
    transport: fc.constantFrom('udp', 'modem'),
    format: fc.constantFrom(...FORMATS, 'coap'),
    ms: fc.option(fc.double({ min: 0, max: 1e9, noNaN: true }), { nil: undefined }),
    outcome: fc.constantFrom(...DEVICE_OUTCOMES),
    code: fc.constantFrom('busy', 'unknown-command', 'internal-error'),
    error: fc.option(text, { nil: undefined }),
  },
  { requiredKeys: ['id', 'name', 'peer', 'transport', 'format', 'ms', 'outcome'] },
);

describe('the log line of a command', () => {
  it('is what pino writes, whatever is in it', () => {
    fc.assert(
      fc.property(command, (line) => {
        const expected = pinoLine(line);
        const time: unknown = JSON.parse(expected).time;
        expect(formatCommandLine(line, Number(time))).toBe(expected);
      }),
      { seed: SEED, numRuns: 1000 },
    );
  });
});
