import { describe, expect, it } from 'vitest';
import { echo } from '../../../../agent/handlers/builtin/echo.js';
import type { Params } from '../../../../shared/command.js';
import { run } from './support.js';

describe('the command echo', () => {
  it.each<[string, Partial<Params>, unknown]>([
    ['nothing as an empty object', {}, {}],
    ['one value as it is', { positional: ['a b'] }, 'a b'],
    ['bytes as they are', { positional: [new Uint8Array([0, 255])] }, new Uint8Array([0, 255])],
    ['several values as an array', { positional: ['a', 1] }, ['a', 1]],
    ['named values as an object', { named: { a: '1' } }, { a: '1' }],
    ['both kinds in one object', { positional: ['x'], named: { a: '1' } }, { a: '1', args: ['x'] }],
  ])('returns %s', async (_what, params, result) => {
    expect(await run(echo, params)).toEqual(result);
  });
});
