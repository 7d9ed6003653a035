import { describe, expect, it } from 'vitest';
import { createDeadlineGate } from '../../../../agent/command/runner/deadline-gate.js';
import { compileHandler } from '../../../../agent/handlers/registry.js';
import type { Reply } from '../../../../shared/command.js';
import { deferred } from '../../../support/deferred.js';
import { lookingHandler } from '../wired-support.js';

describe('a command with a deadline', () => {
  it('ends when the deadline cannot be judged, and does not run', async () => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const broken = createDeadlineGate({ submit: () => expect.unreachable() }, () =>
      Promise.reject(new Error('no clock')),
    );
    const ended = deferred<Reply>();
    const params = { positional: [], named: {} };
    broken({
      command: { name: 'look', params, format: 'text', peer: 'gateway', deadline: 1 },
      holder: 'one',
      handler: compileHandler(handler),
      params,
      bytes: 10,
      done: ended.resolve,
    });
    expect(await ended.promise).toEqual({ error: { code: 'internal-error', message: 'no clock' } });
    expect(seen).toEqual([]);
  });
});
