import { describe, expect, it } from 'vitest';
import type { Journal } from '../../../agent/command/journal/types.js';
import { compileHandler } from '../../../agent/handlers/registry.js';
import { recordingLog } from '../../support/log.js';
import { startPipeline } from '../../support/pipeline.js';
import { openTestJournal } from './journal/support.js';
import { heldHandler, lookingHandler, settled } from './wired-support.js';

const fail = () => {
  throw new Error('broken');
};

describe('a mistake of the agent over a command', () => {
  it.each<[where: string, change: Partial<Journal>, waits: boolean, runs: number, answer: string]>([
    ['the journal when it is to take it in', { begin: fail }, false, 0, '#1 error internal-error broken'],
    ['the journal when it is to accept it', { accept: fail }, true, 0, '#1 error internal-error broken'],
    ['the journal when it is to write the start', { start: fail }, true, 0, '#1 error internal-error broken'],
    // The handler has run, and its result is known.
    ['the journal when it is to write the end', { finish: fail }, false, 1, '#1 ok ok'],
  ])('in %s ends it, and its repeats are answered by its end', async (_where, change, waits, runs, answer) => {
    const { journal } = await openTestJournal(undefined);
    const held = heldHandler('hold', true);
    const { handler, seen } = lookingHandler('look', () => 1);
    const { log, withMessage } = recordingLog();
    const { receive, sent } = startPipeline({
      handlers: [held.handler, handler],
      config: { limits: { running: 1 } },
      journal: { ...journal, ...change },
      log,
    });
    if (waits) receive('hold');
    receive('#1 look');
    held.release('x');
    await settled();
    for (let times = 0; times < 2; times++) {
      receive('#1 look');
      await settled();
    }
    const repeated = answer.replace('#1 ', '#1 repeat ');
    const answers = sent.map(({ bytes }) => String(bytes)).filter((text) => text !== 'ok x');
    expect(answers).toEqual([answer, repeated, repeated]);
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
