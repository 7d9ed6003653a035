import fc from 'fast-check';
import { expect, test } from 'vitest';
import { faultsHelp, formatFaults, parseFaults, resolveFaults } from '../../../../loopback/network/faults/settings.js';
import { SEED } from '../../../support/seed.js';

const badInput = (part: string) =>
  expect.objectContaining({
    code: 'bad-input',
    message: expect.stringContaining(part),
    remedy: expect.stringContaining('loss'),
  });

test('no input resolves to no faults, and resolved faults resolve to themselves', () => {
  const none = resolveFaults({});
  expect(none.down).toEqual(none.up);
  expect(none.down).toMatchObject({
    loss: 0,
    duplicate: 0,
    reorder: 0,
    corrupt: 0,
    truncate: 0,
    delay: '0ms',
    jitter: '0ms',
  });
  expect(formatFaults(none)).toBe('none');
  const some = resolveFaults({ loss: 0.1, duplicate: [1], up: { loss: [2, 5], delay: '1s' } });
  expect(resolveFaults(some)).toEqual(some);
});

test('a fault of one direction overrides the one of both', () => {
  const { down, up } = resolveFaults({ loss: 0.1, delay: '50ms', up: { loss: [2, 5] }, down: { loss: undefined } });
  expect(down).toMatchObject({ loss: 0.1, delay: '50ms' });
  expect(up).toMatchObject({ loss: [2, 5], delay: '50ms' });
});

test.each<[unknown, string]>([
  [null, 'expected object'],
  [[], 'expected object'],
  [{ los: 0.1 }, 'did you mean loss?'],
  [{ up: { dup: 1 } }, 'up: there is no "dup"; did you mean loss?'],
  [{ sideways: { loss: 1 } }, 'there is no "sideways"'],
  [{ loss: 1.5 }, 'loss: '],
  [{ loss: -0.1 }, 'loss: '],
  [{ loss: '20%' }, 'loss: must be a probability from 0 to 1, or a list of packet numbers'],
  [{ loss: Number.NaN }, 'loss: must be a probability'],
  [{ down: { corrupt: [0] } }, 'down.corrupt'],
  [{ truncate: [1.5] }, 'truncate'],
  [{ duplicate: Array.from({ length: 1001 }, (_, index) => index + 1) }, 'duplicate: '],
  [{ delay: 50 }, 'delay: '],
  [{ delay: '50' }, 'delay: must be a duration from 0ms to 10min'],
  [{ jitter: '11min' }, 'jitter: must be a duration'],
  [{ up: { reorderDelay: '-1s' } }, 'up.reorderDelay: must be a duration'],
])('the faults %j are refused: %s', (input, part) => {
  expect(() => resolveFaults(input)).toThrow(badInput(part));
});

test.each<[string, object]>([
  ['loss=0.2', { loss: 0.2 }],
  ['loss=0.2,duplicate=.1,delay=50ms', { loss: 0.2, duplicate: 0.1, delay: '50ms' }],
  ['up.loss=#2+5, down.corrupt=1', { up: { loss: [2, 5] }, down: { corrupt: 1 } }],
  ['loss=#7,down.loss=0,up.loss=#', { loss: [7], down: { loss: 0 }, up: { loss: [] } }],
])('the written faults %s are parsed', (written, input) => {
  expect(parseFaults(written)).toEqual(resolveFaults(input));
});

test.each([
  ['', 'is not NAME=VALUE'],
  ['loss', 'is not NAME=VALUE'],
  ['loss=', 'is not NAME=VALUE'],
  ['loss=0.1,', 'is not NAME=VALUE'],
  ['both.loss=1', 'is not NAME=VALUE'],
  ['loss=0.1,loss=0.2', 'loss is given twice'],
  ['loss=2', 'loss: '],
  ['loss=#2+', 'loss.1: '],
  ['loss=#2-5', 'loss: must be'],
  ['delay=50', 'delay: '],
  ['down=1', 'down: Invalid input: expected object'],
  ['__proto__=1', 'there is no "__proto__"'],
])('the written faults %j are refused: %s', (written, part) => {
  expect(() => parseFaults(written)).toThrow(badInput(part));
});

test('formatted faults are parsed to the same', () => {
  const hits = fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.array(fc.integer({ min: 1, max: 99 })));
  const delay = fc.integer({ min: 0, max: 600 }).map((seconds) => `${seconds}s`);
  const rules = { loss: hits, duplicate: hits, reorder: hits, delay, jitter: delay };
  const oneWay = fc.record(rules, { requiredKeys: [] });
  fc.assert(
    fc.property(fc.record({ ...rules, down: oneWay, up: oneWay }, { requiredKeys: [] }), (input) => {
      const faults = resolveFaults(input);
      const written = formatFaults(faults);
      expect(written === 'none' ? resolveFaults({}) : parseFaults(written)).toEqual(faults);
    }),
    { seed: SEED, numRuns: 500 },
  );
});

test('the help shows every fault with its default', () => {
  for (const rule of Object.keys(resolveFaults({}).up)) expect(faultsHelp()).toContain(`  ${rule}=`);
  expect(faultsHelp()).toContain('  reorderDelay=DURATION (100ms)\n');
  expect(faultsHelp()).toContain('  loss=PROBABILITY|#N+N (0)\n');
});
