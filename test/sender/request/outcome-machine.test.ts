import { describe, expect, it } from 'vitest';
import type { Conversation } from '../../../sender/request/conversation.js';
import {
  MAX_POSTS,
  MAX_UNMATCHED_FAILURES,
  nextTickAt,
  type RequestEffect,
  type RequestInput,
  type RequestSettings,
  start,
  step,
  waitAfter,
} from '../../../sender/request/outcome-machine.js';
import { GATEWAY } from '../../../shared/coap/parameters.js';

const SETTINGS: RequestSettings = {
  parameters: GATEWAY,
  factor: 1,
  timeout: 300_000,
  deadlineAt: Number.POSITIVE_INFINITY,
};
const DONE = { outcome: 'done', result: 'x' } as const;
const FAILURE = { code: 'not-delivered', message: 'not attached', vendorCode: 83_401 } as const;

/** A conversation that understands words. */
const talk = (members: Partial<Conversation> = {}): Conversation => ({
  bytes: Buffer.from('command'),
  canRun: true,
  interpret: (bytes) => {
    const word = bytes.toString();
    if (word === 'accepted') return { type: 'accepted' };
    if (word === 'unrecorded') return { type: 'unrecorded', acknowledge: Buffer.from('ack') };
    if (word === 'next') return { type: 'next', next: MORE, progress: { type: 'block', block: BLOCK } };
    if (word === 'rest')
      return { type: 'next', next: talk({ partial: () => DONE }), progress: { type: 'block', block: BLOCK } };
    return word === 'reply' ? { type: 'end', ending: DONE, acknowledge: Buffer.from('ack') } : undefined;
  },
  ...members,
});
const BLOCK = { way: 'down', number: 1, total: 2 } as const;
const MORE = talk({ bytes: Buffer.from('more') });

const received = (word: string): RequestInput => ({ type: 'received', bytes: Buffer.from(word) });
const posted = (number: number): RequestInput => ({ type: 'posted', number, sid: `HG${number}` });

/** Feeds inputs at their times; gives the effects of all, by time, and the state. */
function play(
  inputs: readonly (readonly [at: number, input: RequestInput])[],
  conversation = talk(),
  settings = SETTINGS,
) {
  let { state, effects } = start(settings, conversation, 0);
  const log: (readonly [number, RequestEffect])[] = effects.map((effect) => [0, effect]);
  for (const [at, input] of inputs) {
    ({ state, effects } = step(settings, state, input, at));
    log.push(...effects.map((effect) => [at, effect] as const));
  }
  return { state, log, ends: log.flatMap(([, effect]) => (effect.type === 'end' ? [effect.ending] : [])) };
}

/** Lets time pass: each post is taken at once and nothing else comes. */
function passTime(settings: RequestSettings, conversation = talk(), wordAt: Readonly<Record<number, string>> = {}) {
  let { state, effects } = start(settings, conversation, 0);
  const posts: number[] = [];
  let now = 0;
  const take = (input: RequestInput) => {
    ({ state, effects } = step(settings, state, input, now));
    look();
  };
  const look = () => {
    for (const effect of effects) {
      if (effect.type !== 'post') continue;
      posts.push(now);
      const word = wordAt[effect.number];
      take(posted(effect.number));
      if (word !== undefined) take(received(word));
    }
  };
  look();
  for (let i = 0; i < 20 && !state.ended; i++) {
    now = nextTickAt(state);
    take({ type: 'tick' });
  }
  const last = effects.at(-1);
  return { posts, endedAt: now, ending: last?.type === 'end' ? last.ending : undefined };
}

describe('the repeats of a request', () => {
  it('are sent after 30 s, then after twice the time, then every 30 s; five posts in all', () => {
    const { posts, endedAt, ending: how } = passTime(SETTINGS);
    expect(posts).toEqual([0, 30_000, 90_000, 120_000, 150_000]);
    expect(endedAt).toBe(300_000);
    expect(how).toMatchObject({ outcome: 'no-answer', error: { code: 'no-answer' } });
  });

  it('are sent only while the device remembers the datagram', () => {
    for (const factor of [1, 1.25, GATEWAY.ackRandomFactor]) {
      const { posts } = passTime({ ...SETTINGS, factor, timeout: 3_600_000 });
      expect(posts).toHaveLength(MAX_POSTS);
      expect(posts.at(-1)).toBeLessThanOrEqual(GATEWAY.exchangeLifetime - GATEWAY.maxLatency);
    }
    const { posts } = passTime({ ...SETTINGS, factor: 2.5, timeout: 3_600_000 });
    expect(posts).toEqual([0, 75_000, 225_000]);
  });

  it('are bounded by the timeout', () => {
    expect(passTime({ ...SETTINGS, timeout: 60_000 }).posts).toEqual([0, 30_000]);
  });

  it('stop at the deadline, unless the device has the command', () => {
    const settings = { ...SETTINGS, deadlineAt: 60_000 };
    expect(passTime(settings).posts).toEqual([0, 30_000]);
    expect(passTime(settings, talk(), { 2: 'accepted' }).posts).toEqual([0, 30_000, 90_000, 120_000, 150_000]);
    expect(passTime(settings, talk({ partial: () => DONE })).posts).toHaveLength(MAX_POSTS);
  });

  it('wait for the result of the previous post', () => {
    const { state, log } = play([[200_000, { type: 'tick' }]]);
    expect(log).toHaveLength(1);
    expect(nextTickAt(state)).toBe(300_000);
  });

  it('have no wait after the last', () => {
    expect([1, 2, 3, 4, 5].map((posts) => waitAfter(SETTINGS, posts))).toEqual([
      30_000,
      60_000,
      30_000,
      30_000,
      Number.POSITIVE_INFINITY,
    ]);
  });
});

describe('a request ends', () => {
  it.each<[string, (readonly [number, RequestInput])[], object, Partial<Conversation>?]>([
    [
      'done by a reply',
      [
        [1, posted(1)],
        [2, received('reply')],
      ],
      DONE,
    ],
    ['done by a reply that was faster than the API', [[1, received('reply')]], DONE],
    [
      'done after it was accepted',
      [
        [1, posted(1)],
        [2, received('accepted')],
        [3, received('reply')],
      ],
      DONE,
    ],
    [
      'done although the API failed',
      [
        [1, { type: 'unknown', number: 1 }],
        [2, received('reply')],
      ],
      DONE,
    ],
    [
      'not sent when the API refused it',
      [[1, { type: 'refused', number: 1, failure: FAILURE }]],
      { outcome: 'not-sent' },
    ],
    [
      'not sent when the network did not',
      [
        [1, posted(1)],
        [2, { type: 'failed', sid: 'HG1', failure: FAILURE }],
      ],
      { outcome: 'not-sent', error: { code: 'not-delivered', vendorCode: 83_401 } },
    ],
    [
      'not sent when that was heard before the API answered',
      [
        [1, { type: 'failed', sid: 'HG1', failure: FAILURE }],
        [2, posted(1)],
      ],
      { outcome: 'not-sent', error: { code: 'not-delivered' } },
    ],
    [
      'without an answer when only a repeat was refused',
      [
        [1, posted(1)],
        [40_000, { type: 'tick' }],
        [40_001, { type: 'refused', number: 2, failure: FAILURE }],
        [300_000, { type: 'tick' }],
      ],
      { outcome: 'no-answer' },
    ],
    [
      'without an answer when the fate of the post is not known',
      [
        [1, { type: 'unknown', number: 1 }],
        [300_000, { type: 'tick' }],
      ],
      { outcome: 'no-answer' },
    ],
    [
      'without an answer when its caller stops',
      [
        [1, posted(1)],
        [2, { type: 'abort' }],
      ],
      { outcome: 'no-answer', error: { code: 'given-up' } },
    ],
    ['without an answer when its caller stops during the post', [[2, { type: 'abort' }]], { outcome: 'no-answer' }],
    [
      'not sent when a part of it has no answer',
      [
        [1, posted(1)],
        [300_000, { type: 'tick' }],
      ],
      { outcome: 'not-sent', error: { code: 'no-answer' } },
      { canRun: false },
    ],
    [
      'not sent when its caller stops before the last part',
      [
        [1, posted(1)],
        [2, { type: 'abort' }],
      ],
      { outcome: 'not-sent' },
      { canRun: false },
    ],
    [
      'done in part when the rest of the result has no answer',
      [
        [1, posted(1)],
        [300_000, { type: 'tick' }],
      ],
      DONE,
      { partial: () => DONE },
    ],
    [
      'done in part when its caller stops',
      [
        [1, posted(1)],
        [2, { type: 'abort' }],
      ],
      DONE,
      { partial: () => DONE },
    ],
  ])('%s', (_, inputs, how, members) => {
    const { ends, state } = play(inputs, talk(members));
    expect(ends).toHaveLength(1);
    expect(ends[0]).toMatchObject(how);
    expect(state.ended).toBe(true);
  });

  it('once: later inputs have no effect', () => {
    const { log, state } = play([
      [1, posted(1)],
      [2, received('reply')],
    ]);
    for (const input of [received('reply'), posted(1), { type: 'abort' }, { type: 'tick' }] satisfies RequestInput[]) {
      expect(step(SETTINGS, state, input, 400_000)).toEqual({ state, effects: [] });
    }
    expect(log.map(([, { type }]) => type)).toEqual(['post', 'sent', 'acknowledge', 'end']);
  });
});

describe('a refusal that the device could not record', () => {
  it('is acknowledged, and the repeats go on as without it', () => {
    const { log } = play([
      [1, posted(1)],
      [2, received('unrecorded')],
    ]);
    expect(log.at(-1)).toEqual([2, { type: 'acknowledge', bytes: Buffer.from('ack') }]);
    const refused = { 1: 'unrecorded', 3: 'unrecorded' };
    const { posts, endedAt } = passTime(SETTINGS);
    expect(passTime(SETTINGS, talk(), refused)).toMatchObject({ posts, endedAt });
  });

  it('gives way to a later answer', () => {
    const { ending, endedAt } = passTime(SETTINGS, talk(), { 1: 'unrecorded', 2: 'reply' });
    expect([endedAt, ending]).toEqual([30_000, DONE]);
  });

  it('is told when no other answer has come in time: the command may run', () => {
    const { ending } = passTime(SETTINGS, talk(), { 2: 'unrecorded' });
    expect(ending).toMatchObject({
      outcome: 'no-answer',
      error: {
        code: 'no-answer',
        message: expect.stringContaining('too busy'),
        remedy: expect.stringContaining('less to do'),
      },
    });
  });

  it('is told when the caller stops', () => {
    const { ends } = play([
      [1, posted(1)],
      [2, received('unrecorded')],
      [3, { type: 'abort' }],
    ]);
    expect(ends).toMatchObject([
      { outcome: 'no-answer', error: { code: 'given-up', message: expect.stringContaining('too busy') } },
    ]);
  });

  it('is not followed by a repeat after the deadline', () => {
    const { posts } = passTime({ ...SETTINGS, deadlineAt: 60_000 }, talk(), { 1: 'unrecorded' });
    expect(posts).toEqual([0, 30_000]);
  });

  it('of a block is forgotten with the next block, and the command that was not sent completely cannot run', () => {
    const { ends } = play([
      [1, posted(1)],
      [2, received('unrecorded')],
      [3, received('next')],
      [400_000, { type: 'tick' }],
    ]);
    expect(ends).toMatchObject([{ outcome: 'no-answer', error: { message: 'no answer arrived in time' } }]);
    const incomplete = [
      [1, posted(1)],
      [2, received('unrecorded')],
      [400_000, { type: 'tick' }],
    ] as const;
    expect(play(incomplete, talk({ canRun: false })).ends).toMatchObject([{ outcome: 'not-sent' }]);
  });
});

describe('a request in progress', () => {
  it('ignores replies and failures of other requests', () => {
    const inputs = [
      [1, posted(1)],
      [2, received('event')],
      [3, { type: 'failed', sid: 'HG9', failure: FAILURE }],
    ] as const;
    expect(play(inputs).ends).toEqual([]);
  });

  it('reports once that it was accepted, and each time that it is sent again', () => {
    const { log } = play([
      [1, posted(1)],
      [2, received('accepted')],
      [3, received('accepted')],
      [40_000, { type: 'tick' }],
      [40_001, posted(2)],
    ]);
    expect(log.map(([, effect]) => effect).filter(({ type }) => type === 'accepted' || type === 'sent')).toEqual([
      { type: 'sent', attempt: 1 },
      { type: 'accepted' },
      { type: 'sent', attempt: 2 },
    ]);
  });

  it('sends the next datagram, and restarts its timeout', () => {
    const { log, state } = play([
      [1, posted(1)],
      [100_000, received('next')],
    ]);
    expect(log.slice(-2)).toEqual([
      [100_000, { type: 'block', block: BLOCK }],
      [100_000, { type: 'post', number: 2, conversation: MORE }],
    ]);
    expect(nextTickAt(state)).toBe(400_000);
    expect(state.attempts).toBe(1);
  });

  it('ignores the result of a post of an earlier datagram', () => {
    const { ends } = play([
      [1, received('next')],
      [2, { type: 'refused', number: 1, failure: FAILURE }],
    ]);
    expect(ends).toEqual([]);
  });

  it('keeps repeating the request for the rest of a result', () => {
    const { ends } = play([
      [1, posted(1)],
      [2, received('rest')],
      [3, { type: 'refused', number: 2, failure: FAILURE }],
    ]);
    expect(ends).toEqual([]);
  });

  it('keeps a bounded number of unmatched failures', () => {
    const inputs = Array.from({ length: 2 * MAX_UNMATCHED_FAILURES }, (_, index) => {
      return [1, { type: 'failed', sid: `HG${index + 10}`, failure: FAILURE }] as const;
    });
    const { state } = play(inputs);
    expect(state.unmatchedFailures.size).toBe(MAX_UNMATCHED_FAILURES);
    expect(step(SETTINGS, state, posted(1), 2).state.unmatchedFailures.size).toBe(0);
  });
});
