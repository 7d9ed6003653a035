import { describe, expect, it } from 'vitest';
import { explain } from '../../../sender/cli/explain.js';
import { VENDOR_CODE_MEANINGS } from '../../../sender/index.js';
import { ERRORS, type ErrorEntry } from '../../../shared/errors.js';
import { rejection, Sink } from '../support.js';

async function explained(code: string): Promise<string> {
  const stdout = new Sink();
  await explain({ code }, { stdout });
  return stdout.text;
}

const ours: [string, ErrorEntry][] = Object.entries(ERRORS);

describe('supersim explain', () => {
  it.each(ours)('prints meaning, wire forms and remedy of %s', async (code, { meaning, remedy, wire }) => {
    const text = await explained(code);
    expect(text.startsWith(`${code}\n${meaning}\n`)).toBe(true);
    expect(text.endsWith(`${remedy}\n`)).toBe(true);
    for (const form of wire === undefined ? [] : [wire.outcome, wire.coap, String(wire.jsonRpc)]) {
      expect(text).toContain(form);
    }
  });

  it.each([...VENDOR_CODE_MEANINGS])('prints the meaning of the vendor’s code %i', async (code, meaning) => {
    expect(await explained(String(code))).toBe(`${code} (the vendor’s)\n${meaning}\n`);
  });

  it.each([
    ['handler-faild', 'handler-failed'],
    ['83410', '83400'],
    ['constructor', undefined],
    ['', undefined],
  ])('suggests the nearest code for %j', async (code, nearest) => {
    const error = await rejection(explained(code));
    expect(error).toMatchObject({ code: 'bad-input' });
    if (nearest !== undefined) expect(String(error)).toContain(`did you mean ${nearest}?`);
  });
});
