import fc from 'fast-check';
import { expect, it } from 'vitest';
import { OPTION, usableOptions } from '../../../shared/coap/options.js';
import {
  formatJournalIdentity,
  LONGEST_JOURNAL_IDENTITY,
  parseJournalIdentity,
} from '../../../shared/format/journal-identity.js';
import { SEED } from '../../support/seed.js';

it('a journal’s identity is read as it was written', () => {
  const id = fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 12, maxLength: 12 });
  fc.assert(
    fc.property(id, fc.nat(), (given, age) => {
      expect(parseJournalIdentity(formatJournalIdentity({ id: given, age }))).toEqual({ id: given, age });
    }),
    { seed: SEED },
  );
});

it('a journal’s age is in whole seconds, and never below 0', () => {
  const write = (age: number) => formatJournalIdentity({ id: '0123456789ab', age });
  expect(write(86_400.9)).toBe('0123456789ab:86400');
  expect(write(-5)).toBe('0123456789ab:0');
  expect(write(1e300)).toHaveLength(LONGEST_JOURNAL_IDENTITY.length);
});

it('the longest identity of a journal fits its CoAP option', () => {
  expect(parseJournalIdentity(LONGEST_JOURNAL_IDENTITY)).toBeDefined();
  const option = { number: OPTION.journal, value: Buffer.from(LONGEST_JOURNAL_IDENTITY) };
  expect(usableOptions([option]).usable).toEqual([option]);
});

it.each([
  [undefined],
  [null],
  [7],
  [['0123456789ab:1']],
  [''],
  ['0123456789ab'],
  ['0123456789ab:'],
  ['0123456789AB:1'],
  ['0123456789a:1'],
  ['0123456789abc:1'],
  ['0123456789ab:-1'],
  ['0123456789ab:1.5'],
  ['0123456789ab:1 '],
  ['0123456789ab:123456789012'],
])('%j is no identity of a journal', (value) => {
  expect(parseJournalIdentity(value)).toBeUndefined();
});
