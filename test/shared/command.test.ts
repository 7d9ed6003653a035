import { describe, expect, it } from 'vitest';
import { isCommandName, MAX_NAME_LENGTH } from '../../shared/command.js';
import { parseText } from '../../shared/format/text.js';

const NAMES = ['ping', 'relay.set', 'a', 'A-b_c.1.-', 'x'.repeat(MAX_NAME_LENGTH), 'ok.x', 'okay', 'OK'];

describe('a command’s name', () => {
  it.each(NAMES)('may be %s', (name) => {
    expect(isCommandName(name)).toBe(true);
  });

  it.each([
    '',
    '1a',
    '.a',
    'a.',
    'a..b',
    'a b',
    'a\n',
    'ä',
    '_a',
    '-a',
    'a=b',
    '#a',
    'ok',
    'error',
    'repeat',
    'unrecorded',
    'forgotten',
    'x'.repeat(MAX_NAME_LENGTH + 1),
  ])('may not be %j', (name) => {
    expect(isCommandName(name)).toBe(false);
  });

  it('is one word of a text command, never a reply', () => {
    for (const name of NAMES) {
      expect(parseText(name).entries).toEqual([{ request: { name, params: { positional: [], named: {} } } }]);
    }
  });
});
