import { expect, it, vi } from 'vitest';
import { createImpatience } from '../../../agent/base/impatience.js';
import { deferred } from '../../support/deferred.js';

it('gives up what has begun, begins nothing while it would take long, and does it again later', async () => {
  let refusal: Error | undefined;
  const impatience = createImpatience(() => refusal);
  const slow = deferred<string>();
  const given = impatience.attempt(() => slow.promise);
  impatience.refuse();
  refusal = new Error('it takes long');
  impatience.refuse();
  await expect(given).rejects.toBe(refusal);
  const work = vi.fn(async () => 'done');
  await expect(impatience.attempt(work)).rejects.toBe(refusal);
  expect(work).not.toHaveBeenCalled();
  refusal = undefined;
  slow.resolve('late');
  expect(await impatience.attempt(work)).toBe('done');
  await expect(impatience.attempt(() => Promise.reject(new Error('its own')))).rejects.toThrow('its own');
});
