import { describe, expect, it } from 'vitest';
import { beforeStart, NotStartedError } from '../../../agent/handlers/not-started.js';
import { SupersimError } from '../../../shared/errors.js';

const systemError = (code: string) => Object.assign(new Error(`${code}: no`), { code });
const throws = () => {
  throw new Error('a trap');
};

describe('an error over a program that was not started', () => {
  it.each(['EMFILE', 'ENFILE', 'EAGAIN', 'ENOMEM'])('is busy for %s, which passes', (code) => {
    expect(new NotStartedError(systemError(code))).toMatchObject({ code: 'busy', message: `${code}: no` });
  });

  it.each(['ENOENT', 'EACCES', 'E2BIG', 'ECONNREFUSED'])('is another one for %s', (code) => {
    expect(new NotStartedError(systemError(code))).toMatchObject({ code: 'handler-unavailable' });
  });

  it('has the message of what failed before its start', async () => {
    const cause = new SupersimError('program-unsafe', '/x is writable by other users');
    const failed = beforeStart(() => Promise.reject(cause));
    await expect(failed).rejects.toMatchObject({ code: 'handler-unavailable', message: cause.message, cause });
    await expect(failed).rejects.toSatisfy(NotStartedError.is);
    expect(await beforeStart(() => 1)).toBe(1);
  });

  it.each([
    ['an error of a module with its code', new SupersimError('handler-unavailable', 'half-way')],
    ['one with the code busy', new SupersimError('busy', 'half-way')],
    ['a proxy with traps', new Proxy({}, { get: throws, getPrototypeOf: throws, has: throws })],
    ['nothing', undefined],
    ['a string', 'handler-unavailable'],
  ])('is not %s', (_, thrown) => {
    expect(NotStartedError.is(thrown)).toBe(false);
  });
});
