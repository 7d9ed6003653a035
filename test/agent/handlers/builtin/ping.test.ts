import { describe, expect, it } from 'vitest';
import { ping } from '../../../../agent/handlers/builtin/ping.js';
import { run } from './support.js';

describe('the command ping', () => {
  it('answers pong and accepts no parameters', async () => {
    expect(await run(ping)).toBe('pong');
    await expect(run(ping, { positional: ['x'] })).rejects.toThrow('no parameters');
  });
});
