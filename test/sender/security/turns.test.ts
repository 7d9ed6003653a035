import { describe, expect, it } from 'vitest';
import { createTurns, MAX_UNANSWERED } from '../../../sender/security/turns.js';

describe('the turns of requests under one key', () => {
  it('are so many at once, and the next begins when one has ended', async () => {
    const takeTurn = createTurns();
    const turns = await Promise.all(Array.from({ length: MAX_UNANSWERED }, () => takeTurn('key', undefined)));
    let isNext = false;
    const next = takeTurn('key', undefined).then((end) => {
      isNext = true;
      return end;
    });
    await new Promise(setImmediate);
    expect(isNext).toBe(false);
    turns.pop()?.();
    (await next)();
    for (const end of turns) end();
  });

  it('of one key do not wait for those of another', async () => {
    const takeTurn = createTurns();
    await Promise.all(Array.from({ length: MAX_UNANSWERED }, () => takeTurn('one', undefined)));
    expect(await takeTurn('other', undefined)).toBeTypeOf('function');
  });

  it('are not waited for any longer when the caller stops', async () => {
    const takeTurn = createTurns();
    const turns = await Promise.all(Array.from({ length: MAX_UNANSWERED }, () => takeTurn('key', undefined)));
    const stop = new AbortController();
    const waiting = takeTurn('key', stop.signal);
    stop.abort(new Error('stopped'));
    await expect(waiting).rejects.toThrow('stopped');
    for (const end of turns) end();
    (await takeTurn('key', undefined))();
  });
});
