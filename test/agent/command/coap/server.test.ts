import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Journal } from '../../../../agent/command/journal/types.js';
import { defineHandler } from '../../../../agent/handlers/handler.js';
import { compileHandler } from '../../../../agent/handlers/registry.js';
import { findBlock } from '../../../../shared/coap/block.js';
import { parseMessage } from '../../../../shared/coap/message.js';
import { OPTION } from '../../../../shared/coap/options.js';
import { GATEWAY } from '../../../../shared/coap/parameters.js';
import { numberOption, type RequestSetup, requestBytes, summary } from '../../../support/coap.js';
import { recordingLog } from '../../../support/log.js';
import { startPipeline } from '../../../support/pipeline.js';
import { openTestJournal } from '../journal/support.js';
import { lookingHandler, settled, startWired } from '../wired-support.js';

/** As many commands as the table of duplicates has room for, and more. */
const MANY = 18_000;
const LARGEST_BODY = 65_536;
const NO_BYTES = Buffer.alloc(0);

/** A handler whose result is nothing, and its runs. */
const empty = () => lookingHandler('empty', () => 1, '');

/** The blocks of a body, each a request of its own. */
function blocksOf(body: Buffer, setup: RequestSetup): Buffer[] {
  const count = Math.ceil(body.length / 1024);
  return Array.from({ length: count }, (_, number) =>
    requestBytes({
      ...setup,
      messageId: 100 + number,
      contentFormat: 42,
      block1: { number, more: number < count - 1, exponent: 6 },
      payload: body.subarray(number * 1024, (number + 1) * 1024),
    }),
  );
}

describe('a request', () => {
  it('for an empty result in blocks is answered by one empty block, and its repeat as it was', async () => {
    const { handler, seen } = empty();
    const { reply } = await startWired({ handlers: [handler] });
    const request = requestBytes({ path: 'empty', block2: { number: 0, more: false, exponent: 2 } });
    const first = await reply(request);
    const { options, payload, code } = parseMessage(first);
    expect({ code, length: payload.length, size: numberOption({ options }, OPTION.size2) }).toEqual({
      code: '2.04',
      length: 0,
      size: 0,
    });
    expect(findBlock(options, OPTION.block2)).toEqual({ number: 0, more: false, exponent: 2 });
    expect(await reply(request)).toEqual(first);
    expect(seen).toHaveLength(1);
  });

  it.each([65_501, 65_502, 65_503, 65_520, 65_535, LARGEST_BODY])(
    'with a body of %i bytes is journalled, runs once, and is answered again after a restart',
    async (length) => {
      const { handler, seen } = lookingHandler('store', () => 1);
      const { reply, folder, database } = await startWired({ handlers: [handler] });
      const blocks = blocksOf(Buffer.alloc(length, 'x'), { path: 'store' });
      const last = blocks.at(-1) ?? Buffer.alloc(0);
      for (const block of blocks.slice(0, -1)) expect(summary(await reply(block))).toContain(' 2.31 ');
      const first = await reply(last);
      expect(summary(first)).toContain(' 2.04 ');
      expect(await reply(last)).toEqual(first);
      await database.close();
      const again = await startWired({ folder, handlers: [handler] });
      expect(await again.reply(last)).toEqual(first);
      expect(seen).toHaveLength(1);
    },
  );

  it('in blocks through the carrier arrives whatever another of its addresses begins, which is counted', () => {
    const { handler, seen } = lookingHandler('store', () => 1);
    const { answers, counters } = startPipeline({ handlers: [handler] });
    let begun = 0;
    const owners = blocksOf(Buffer.alloc(8192, 'x'), { path: 'store', requestTag: 'owner' });
    for (const [number, block] of owners.entries()) {
      for (let times = 0; times < 100; times++) {
        const block1 = { number: 0, more: true, exponent: 0 };
        const begin = { messageId: begun, path: 'store', requestTag: `${begun++}`, block1, payload: 'a'.repeat(16) };
        answers(requestBytes(begin), { address: '100.64.0.66', port: 6969 });
      }
      const [response = Buffer.alloc(0)] = answers(block);
      expect(summary(response), `block ${number}`).toContain(number < 7 ? ' 2.31 ' : ' 2.04 ');
    }
    expect(seen).toHaveLength(1);
    expect(counters.droppedTransfers).toBe(begun - 16);
  });

  it('that went wrong does not keep later commands from being taken', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const { handler, seen } = empty();
    const { answers } = startPipeline({ handlers: [handler] });
    answers(requestBytes({ path: 'empty', block2: { number: 0, more: false, exponent: 2 } }));
    let taken = 0;
    for (let id = 0; id < MANY; id++) {
      vi.advanceTimersByTime(GATEWAY.exchangeLifetime / 8000);
      if (String(answers(`#${id} empty`)) === `#${id} ok`) taken++;
    }
    expect({ taken, runs: seen.length }).toEqual({ taken: MANY, runs: MANY + 1 });
  });
});

describe('a repeat of a request to an idempotent command', () => {
  /** Each run of the command has another result. */
  function counting(length = 0) {
    let runs = 0;
    const run = () => `run ${++runs}`.padEnd(length, '.');
    const handler = defineHandler({ name: 'count', description: '', idempotent: true, run });
    return { handler, runs: () => runs };
  }

  it('runs it again, as nothing is kept of it', () => {
    const { handler, runs } = counting();
    const { answers } = startPipeline({ handlers: [handler] });
    const request = requestBytes({ path: 'count' });
    expect([answers(request), answers(request)].flat().map(summary)).toEqual([
      'ACK 2.04 #1 run 1',
      'ACK 2.04 #1 run 2',
    ]);
    expect(runs()).toBe(2);
  });

  it('is answered as the first was, where the last block of its body came again', () => {
    const { handler, runs } = counting();
    const { answers } = startPipeline({ handlers: [handler] });
    const [first = NO_BYTES, last = NO_BYTES] = blocksOf(Buffer.alloc(1500, 'x'), { path: 'count' });
    expect(answers(first).map(summary)).toEqual([expect.stringContaining(' 2.31 ')]);
    const answer = answers(last);
    expect(answer.map(summary)).toEqual([expect.stringContaining(' 2.04 ')]);
    expect(answers(last)).toEqual(answer);
    expect(runs()).toBe(1);
  });

  it('is answered as the first was, where its response goes in blocks, whose others still fit', () => {
    const { handler, runs } = counting(3000);
    const { answers } = startPipeline({ handlers: [handler] });
    const request = requestBytes({ path: 'count' });
    const answer = answers(request);
    expect(answers(request)).toEqual(answer);
    const next = requestBytes({ path: 'count', messageId: 2, block2: { number: 1, more: false, exponent: 6 } });
    const eTagOf = ([bytes = NO_BYTES]: Buffer[]) =>
      parseMessage(bytes).options.find(({ number }) => number === OPTION.eTag)?.value;
    expect(eTagOf(answers(next))).toEqual(eTagOf(answer));
    expect(runs()).toBe(1);
  });
});

describe('a mistake of the agent over a request', () => {
  const REQUEST = requestBytes({ path: 'look', token: 'a', messageId: 9 });
  const fail = () => {
    throw new Error('broken');
  };

  it.each<[where: string, change: Partial<Journal>, runs: number, outcome: string, answer: string]>([
    ['the journal when it is to take it in', { begin: fail }, 0, 'failed', '5.00 #9 "a" internal-error: broken'],
    // The handler has run, and its result is known.
    ['the journal when it is to write the end', { finish: fail }, 1, 'done', '2.04 #9 "a" ok'],
  ])('in %s ends it, once for all repeats', async (_where, change, runs, outcome, answer) => {
    const { journal } = await openTestJournal(undefined);
    const { handler, seen } = lookingHandler('look', () => 1);
    const { log, withMessage } = recordingLog();
    const { receive, sent, counters } = startPipeline({ handlers: [handler], journal: { ...journal, ...change }, log });
    for (let times = 0; times < 3; times++) {
      receive(REQUEST);
      await settled();
    }
    expect(sent.map(({ bytes }) => summary(bytes))).toEqual(Array.from({ length: 3 }, () => `ACK ${answer}`));
    expect(seen).toHaveLength(runs);
    expect(counters).toMatchObject({ repeats: 2, outcomes: { [outcome]: 1 } });
    expect(withMessage('internal error')).not.toHaveLength(0);
  });

  it('in the check of its parameters is answered by 5.00, and the next request is handled', async () => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const { registry, reply } = startPipeline({ handlers: [handler] });
    registry.set('look', { ...compileHandler(handler), bind: fail });
    expect(summary(await reply(REQUEST))).toBe('ACK 5.00 #9 "a" internal-error: broken');
    expect(summary(await reply(REQUEST))).toBe('ACK 5.00 #9 "a" internal-error: broken');
    registry.set('look', compileHandler(handler));
    expect(summary(await reply(requestBytes({ path: 'look', messageId: 10 })))).toBe('ACK 2.04 #10 ok');
    expect(seen).toHaveLength(1);
  });

  it('in writing its response is answered by 5.00', async () => {
    const { handler } = lookingHandler('look', () => 1);
    let calls = 0;
    const maxBytes = () => (calls++ === 1 ? fail() : 1300);
    const { reply } = startPipeline({ handlers: [handler], maxBytes });
    expect(summary(await reply(REQUEST))).toBe('ACK 5.00 #9 "a" internal-error: broken');
    expect(summary(await reply(REQUEST))).toBe('ACK 5.00 #9 "a" internal-error: broken');
  });
});
