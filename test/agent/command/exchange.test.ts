import { describe, expect, it } from 'vitest';
import type { Journal } from '../../../agent/command/journal/types.js';
import { compileHandler } from '../../../agent/handlers/registry.js';
import { recordingLog } from '../../support/log.js';
import { startPipeline } from '../../support/pipeline.js';
import { openTestJournal } from './journal/support.js';
import { lookingHandler, settled } from './wired-support.js';

const fail = () => {
  throw new Error('broken');
};

describe('a mistake of the agent over a command', () => {
  it.each<[where: string, change: Partial<Journal>, runs: number, answer: string, repeated: string]>([
    // The journal does not know it: it fails anew.
    [
      'the journal when it is to accept',
      { accept: fail },
      0,
      '#1 error internal-error broken',
      '#1 error internal-error broken',
    ],
    [
      'the journal when it is to write the start',
      { start: fail },
      0,
      '#1 error internal-error broken',
      '#1 repeat error internal-error broken',
    ],
    // The handler has run, and its result is known.
    ['the journal when it is to write the end', { finish: fail }, 1, '#1 ok ok', '#1 repeat ok ok'],
  ])('in %s ends it, and its repeats are answered by its end', async (_where, change, runs, answer, repeated) => {
    const { journal } = await openTestJournal(undefined);
    const { handler, seen } = lookingHandler('look', () => 1);
    const { log, withMessage } = recordingLog();
    const { receive, sent } = startPipeline({ handlers: [handler], journal: { ...journal, ...change }, log });
    for (let times = 0; times < 3; times++) {
      receive('#1 look');
      await settled();
    }
    expect(sent.map(({ bytes }) => String(bytes))).toEqual([answer, repeated, repeated]);
    expect(seen).toHaveLength(runs);
    expect(withMessage('internal error')).not.toHaveLength(0);
  });

  it('in the check of its parameters ends it, and the others of its datagram run', async () => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const { registry, receive, sent } = startPipeline({ handlers: [handler] });
    registry.set('broken', { ...compileHandler({ ...handler, name: 'broken' }), bind: fail });
    receive('[{"id":1,"method":"broken"},{"id":2,"method":"look"}]');
    receive('[{"id":1,"method":"broken"},{"id":2,"method":"look"}]');
    expect(sent.map(({ bytes }) => JSON.parse(String(bytes)))).toMatchObject([
      [
        { id: 1, error: { code: -32603, message: 'broken' } },
        { id: 2, result: 'ok' },
      ],
      [
        { id: 1, repeat: true },
        { id: 2, repeat: true },
      ],
    ]);
    expect(seen).toHaveLength(1);
  });

  it('whose reply has no room in a datagram even as an error has no reply, and does not run again', () => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const { answers, counters } = startPipeline({ handlers: [handler], maxBytes: () => 20 });
    const request = '{"id":1,"method":"look"}';
    answers(request);
    answers(request);
    expect({ runs: seen.length, repeats: counters.repeats }).toEqual({ runs: 1, repeats: 1 });
  });
});
