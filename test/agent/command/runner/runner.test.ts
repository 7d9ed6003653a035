import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createRunner } from '../../../../agent/command/runner/runner.js';
import type { RunLimits, Task } from '../../../../agent/command/runner/task.js';
import type { Handler, HandlerContext } from '../../../../agent/handlers/handler.js';
import type { Reply } from '../../../../shared/command.js';
import { recordingLog } from '../../../support/log.js';
import { SEED } from '../../../support/seed.js';

const LIMITS: RunLimits = { running: 2, waiting: 2, waitingBytes: 10_000 };
const NEVER = new Promise<never>(() => undefined);

/** A runner, and how to give it tasks: what each came to is kept under its name, in order. */
function start(limits: Partial<RunLimits> = {}) {
  const { log, withMessage } = recordingLog();
  const runner = createRunner({ ...LIMITS, ...limits }, { deviceId: 'box', log, emit: async () => undefined });
  const started: string[] = [];
  const replies: [string, Reply][] = [];
  const contexts = new Map<string, HandlerContext>();

  function submit(
    name: string,
    run: (context: HandlerContext) => unknown,
    { timeoutMs = 1000, bytes = 10, ...more }: { timeoutMs?: number; bytes?: number } & Partial<Task> = {},
  ) {
    const handler: Handler = {
      name,
      description: '',
      safe: true,
      idempotent: true,
      timeoutMs,
      usage: '',
      bind: () => ({ value: undefined }),
      run(_params, context) {
        started.push(name);
        contexts.set(name, context);
        return run(context);
      },
    };
    const command = { name, params: { positional: [], named: {} }, format: 'text', peer: 'gateway' } as const;
    const done = (reply: Reply) => void replies.push([name, reply]);
    runner.submit({ command, holder: 'one', handler, params: undefined, bytes, done, ...more });
  }

  return {
    runner,
    started,
    submit,
    withMessage,
    replies,
    contexts,
    /** What each came to: `done`, or its error's code. */
    ends: () => replies.map(([name, reply]) => [name, 'error' in reply ? reply.error.code : 'done']),
    messageOf(name: string): string | undefined {
      const reply = replies.find(([one]) => one === name)?.[1];
      return reply !== undefined && 'error' in reply ? reply.error.message : undefined;
    },
  };
}

const resolveIn = <T>(ms: number, value: T) => new Promise<T>((resolve) => setTimeout(() => resolve(value), ms));
const rejectIn = (ms: number, why: unknown) =>
  new Promise<never>((_resolve, reject) => setTimeout(() => reject(why), ms));

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('a handler', () => {
  it('is done with what it returns, at once or later', async () => {
    const { submit, replies } = start();
    submit('now', () => 'a');
    expect(replies).toEqual([['now', { result: 'a' }]]);
    submit('later', () => resolveIn(50, 'b'));
    await vi.advanceTimersByTimeAsync(50);
    expect(replies[1]).toEqual(['later', { result: 'b' }]);
  });

  it.each<[string, unknown, string]>([
    ['an error', new Error('broken'), 'broken'],
    ['a string', 'broken', 'broken'],
    ['nothing', undefined, 'undefined'],
    ['an error whose message is no string', Object.assign(new Error(), { message: 42 }), '42'],
    ['an object without a prototype', Object.create(null), 'an unprintable value was thrown'],
  ])('fails when it throws %s, at once or later', async (_what, thrown, message) => {
    const { submit, ends, messageOf, runner } = start();
    submit('now', () => {
      throw thrown;
    });
    submit('later', () => rejectIn(50, thrown));
    await vi.advanceTimersByTimeAsync(50);
    expect(ends()).toEqual([
      ['now', 'handler-failed'],
      ['later', 'handler-failed'],
    ]);
    expect([messageOf('now'), messageOf('later')]).toEqual([message, message]);
    expect(runner.running).toBe(0);
  });

  it('has a long message of its failure cut between two characters', () => {
    const { submit, messageOf } = start();
    submit('a', () => {
      throw new Error('ü'.repeat(5000));
    });
    expect(messageOf('a')).toBe('ü'.repeat(500));
  });

  it('may return anything that has a `then`', async () => {
    const { submit, replies, runner } = start({ running: 10 });
    const fulfil = (value: unknown) => (onFulfilled: (value: unknown) => void) => onFulfilled(value);
    const thenable = (then: unknown): unknown => Object.defineProperty({}, 'then', { value: then });
    submit('fulfils', () => thenable(fulfil(1)));
    submit('fulfils with a promise', () => thenable(fulfil(resolveIn(10, 2))));
    submit('fulfils twice', () =>
      thenable((onFulfilled: (value: unknown) => void, onRejected: (why: unknown) => void) => {
        onFulfilled(3);
        onFulfilled(4);
        onRejected(5);
      }),
    );
    submit('throws', () =>
      thenable(() => {
        throw new Error('no');
      }),
    );
    submit('throws when it is looked at', () =>
      Object.defineProperty({}, 'then', {
        get() {
          throw new Error('no');
        },
      }),
    );
    const noPromise = thenable(5);
    submit('has another `then`', () => noPromise);
    await vi.advanceTimersByTimeAsync(10);
    const failed = { error: { code: 'handler-failed', message: 'no' } };
    expect(new Map(replies)).toEqual(
      new Map<string, unknown>([
        ['fulfils', { result: 1 }],
        ['fulfils with a promise', { result: 2 }],
        ['fulfils twice', { result: 3 }],
        ['throws', failed],
        ['throws when it is looked at', failed],
        ['has another `then`', { result: noPromise }],
      ]),
    );
    expect(replies).toHaveLength(6);
    expect(runner.running).toBe(0);
  });

  it('knows the device, the command, and where to log', () => {
    const { submit, contexts } = start();
    submit('a', () => 1);
    expect(contexts.get('a')).toMatchObject({ deviceId: 'box', command: { name: 'a', peer: 'gateway' } });
  });
});

describe('commands at once', () => {
  it('run up to the limit; then they wait in order; then they are refused', async () => {
    const { runner, submit, started, ends } = start();
    for (const name of ['a', 'b', 'c', 'd', 'e']) submit(name, () => resolveIn(100, name));
    expect(started).toEqual(['a', 'b']);
    expect([runner.running, runner.waiting]).toEqual([2, 2]);
    expect(ends()).toEqual([['e', 'busy']]);
    await vi.advanceTimersByTimeAsync(100);
    expect(started).toEqual(['a', 'b', 'c', 'd']);
    expect([runner.running, runner.waiting]).toEqual([2, 0]);
    await vi.advanceTimersByTimeAsync(100);
    expect(ends().slice(1)).toEqual(['a', 'b', 'c', 'd'].map((name) => [name, 'done']));
  });

  it('wait within so many bytes', async () => {
    const { submit, ends, runner } = start({ running: 1, waiting: 100, waitingBytes: 2000 });
    submit('running', () => resolveIn(100, 1), { bytes: 1300 });
    submit('first', () => resolveIn(100, 1), { bytes: 1300 });
    submit('too much', () => 1, { bytes: 701 });
    submit('just fits', () => 1, { bytes: 700 });
    submit('nothing fits', () => 1, { bytes: 1 });
    expect(runner.waiting).toBe(2);
    expect(ends()).toEqual([
      ['too much', 'busy'],
      ['nothing fits', 'busy'],
    ]);
    await vi.advanceTimersByTimeAsync(100);
    // The first one’s bytes are free again.
    submit('later', () => 1, { bytes: 1300 });
    expect(ends()).toHaveLength(3);
    await vi.advanceTimersByTimeAsync(100);
    expect(ends().slice(3)).toEqual([
      ['first', 'done'],
      ['just fits', 'done'],
      ['later', 'done'],
    ]);
  });

  it('that end at once take no place, however many wait', async () => {
    const { submit, ends, runner } = start({ running: 1, waiting: 20_000, waitingBytes: 1_000_000 });
    submit('slow', () => resolveIn(100, 1));
    for (let i = 0; i < 20_000; i++) submit('quick', () => i);
    await vi.advanceTimersByTimeAsync(100);
    expect(ends()).toHaveLength(20_001);
    expect([runner.running, runner.waiting]).toEqual([0, 0]);
  });

  it('are refused when nothing may wait and all places are taken', () => {
    const { submit, ends } = start({ running: 1, waiting: 0 });
    submit('a', () => NEVER);
    submit('b', () => 1);
    expect(ends()).toEqual([['b', 'busy']]);
  });
});

describe('a handler that does not finish', () => {
  it('fails when its time is up, and what it returns later goes nowhere', async () => {
    const { submit, ends, messageOf, runner } = start();
    submit('slow', () => resolveIn(1500, 'late'), { timeoutMs: 1000 });
    await vi.advanceTimersByTimeAsync(999);
    expect(ends()).toEqual([]);
    await vi.advanceTimersByTimeAsync(101);
    expect(ends()).toEqual([['slow', 'handler-timeout']]);
    expect(messageOf('slow')).toContain('1 s');
    expect(runner.running).toBe(1);
    await vi.advanceTimersByTimeAsync(400);
    expect(ends()).toHaveLength(1);
    expect(runner.running).toBe(0);
  });

  it('releases its slot some time after its abort', async () => {
    const { submit, started, ends, runner, withMessage } = start({ running: 1 });
    submit('stuck', () => NEVER, { timeoutMs: 1000 });
    submit('next', () => 1);
    await vi.advanceTimersByTimeAsync(3000);
    expect(ends()).toEqual([['stuck', 'handler-timeout']]);
    expect(started).toEqual(['stuck']);
    await vi.advanceTimersByTimeAsync(1200);
    expect(ends()).toEqual([
      ['stuck', 'handler-timeout'],
      ['next', 'done'],
    ]);
    expect([runner.running, runner.waiting]).toEqual([0, 0]);
    expect(withMessage('handler still running after its timeout; slot released')).toHaveLength(1);
  });

  it('gives its place away at once when it ends on being told to', async () => {
    const { submit, ends } = start({ running: 1 });
    submit('obedient', ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', resolve)), {
      timeoutMs: 1000,
    });
    submit('next', () => 1);
    await vi.advanceTimersByTimeAsync(1100);
    expect(ends()).toEqual([
      ['obedient', 'handler-timeout'],
      ['next', 'done'],
    ]);
  });

  it('has its own time-out, whatever the others have', async () => {
    const { submit, ends } = start({ running: 3 });
    submit('long', () => NEVER, { timeoutMs: 60_000 });
    submit('short', () => NEVER, { timeoutMs: 100 });
    submit('middle', () => NEVER, { timeoutMs: 5000 });
    await vi.advanceTimersByTimeAsync(5100);
    expect(ends().map(([name]) => name)).toEqual(['short', 'middle']);
    await vi.advanceTimersByTimeAsync(55_000);
    expect(ends().map(([name]) => name)).toEqual(['short', 'middle', 'long']);
  });

  it('leaves no timer behind when all is done', async () => {
    const { submit } = start();
    submit('a', () => resolveIn(150, 1));
    await vi.advanceTimersByTimeAsync(1000);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('does so again and again without wearing the runner out', async () => {
    const { submit, ends, runner } = start({ running: 2 });
    for (let round = 0; round < 20; round++) {
      submit('stuck', () => NEVER, { timeoutMs: 100 });
      submit('stuck too', () => NEVER, { timeoutMs: 100 });
      submit('next', () => 1);
      await vi.advanceTimersByTimeAsync(3500);
    }
    expect(ends().filter(([, end]) => end === 'handler-timeout')).toHaveLength(40);
    expect(ends().filter(([, end]) => end === 'done')).toHaveLength(20);
    expect(runner.running).toBe(0);
  });
});

describe('a mistake of the agent’s own', () => {
  const mistake = () => {
    throw new Error('a mistake');
  };

  it.each([
    ['what is done at once', () => 1],
    ['what is done later', () => resolveIn(50, 1)],
    ['what is not done in its time', () => NEVER],
  ])('in telling the end of %s keeps no place, and nobody from theirs', async (_what, run) => {
    const { submit, ends, runner, withMessage } = start({ running: 1, waiting: 3 });
    submit('before', () => resolveIn(50, 1));
    for (let i = 0; i < 2; i++) submit('wrong', run, { done: mistake });
    submit('next', () => 1);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(ends()).toEqual([
      ['before', 'done'],
      ['next', 'done'],
    ]);
    expect([runner.running, runner.waiting]).toEqual([0, 0]);
    expect(withMessage('internal error')).toMatchObject(
      Array(2).fill({ details: { name: 'wrong', error: 'a mistake' } }),
    );
  });

  it('in having its start written ends it', async () => {
    const { submit, ends, runner } = start({ running: 1, waiting: 1 });
    const before = { key: undefined, accept: () => undefined, start: mistake };
    submit('wrong', () => 1, { startGate: before });
    expect(ends()).toEqual([['wrong', 'internal-error']]);
    submit('before', () => resolveIn(50, 1));
    submit('wrong too', () => 1, { startGate: before });
    await vi.advanceTimersByTimeAsync(50);
    expect(ends().slice(1)).toEqual([
      ['before', 'done'],
      ['wrong too', 'internal-error'],
    ]);
    expect([runner.running, runner.waiting]).toEqual([0, 0]);
  });

  it('in telling that it is slow ends nothing', async () => {
    const { submit, ends } = start();
    submit('slow', () => resolveIn(1500, 1), { timeoutMs: 5000, slow: mistake });
    await vi.advanceTimersByTimeAsync(1500);
    expect(ends()).toEqual([['slow', 'done']]);
  });
});

describe('the signal', () => {
  it('is aborted with the reason when the time is up', async () => {
    const { submit, contexts } = start();
    submit('a', ({ signal }) => {
      expect(signal.aborted).toBe(false);
      return NEVER;
    });
    await vi.advanceTimersByTimeAsync(1100);
    expect(contexts.get('a')?.signal.aborted).toBe(true);
    expect(contexts.get('a')?.signal.reason).toBeInstanceOf(Error);
  });

  it('is aborted already when one asks for it too late', async () => {
    const { submit, contexts } = start();
    submit('a', () => NEVER);
    await vi.advanceTimersByTimeAsync(1100);
    const signal = contexts.get('a')?.signal;
    expect(signal?.aborted).toBe(true);
    expect(signal?.reason).toBeInstanceOf(Error);
  });

  it('is made only for those who ask for it, and once', () => {
    const made = vi.fn();
    class CountedAbortController extends AbortController {
      constructor() {
        super();
        made();
      }
    }
    vi.stubGlobal('AbortController', CountedAbortController);
    const { submit, contexts } = start({ running: 100 });
    for (let i = 0; i < 50; i++) submit('unasked', () => NEVER);
    expect(made).not.toHaveBeenCalled();
    submit('asked', ({ signal }) => signal.addEventListener('abort', () => undefined));
    expect(contexts.get('asked')?.signal).toBe(contexts.get('asked')?.signal);
    expect(made).toHaveBeenCalledTimes(1);
  });

  it('is not aborted for a handler that ended in time', async () => {
    const { submit, contexts } = start();
    submit('a', ({ signal }) => resolveIn(100, signal));
    await vi.advanceTimersByTimeAsync(10_000);
    expect(contexts.get('a')?.signal.aborted).toBe(false);
  });
});

describe('stopping', () => {
  /** Advances the clock until the stop is over, and tells how long it took. */
  async function stopped(runner: { stop(graceMs: number): Promise<void> }, graceMs: number): Promise<number> {
    const begun = performance.now();
    let over: number | undefined;
    void runner.stop(graceMs).then(() => {
      over = performance.now() - begun;
    });
    await vi.advanceTimersByTimeAsync(120_000);
    if (over === undefined) throw new Error('it did not stop in two minutes');
    return over;
  }

  it('is over at once when nothing runs', async () => {
    const { runner } = start();
    expect(await stopped(runner, 10_000)).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('lets what runs finish, and refuses what waits and what comes', async () => {
    const { runner, submit, ends, contexts } = start({ running: 1 });
    submit('runs', ({ signal }) => resolveIn(500, signal));
    submit('waits', () => 1);
    const over = stopped(runner, 10_000);
    expect(ends()).toEqual([['waits', 'busy']]);
    submit('comes', () => 1);
    expect(ends()).toContainEqual(['comes', 'busy']);
    expect(await over).toBe(500);
    expect(ends()).toContainEqual(['runs', 'done']);
    expect(contexts.get('runs')?.signal.aborted).toBe(false);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('answers for what does not finish in time, aborts it, and waits for it to end', async () => {
    const { runner, submit, ends } = start();
    submit(
      'obedient',
      ({ signal }) =>
        new Promise((resolve) => signal.addEventListener('abort', () => setTimeout(() => resolve('late'), 700))),
      { timeoutMs: 60_000 },
    );
    expect(await stopped(runner, 2000)).toBe(2700);
    expect(ends()).toEqual([['obedient', 'handler-failed']]);
  });

  it('gives what it aborts its full time to end, though its own time-out comes meanwhile', async () => {
    const { runner, submit, ends } = start();
    submit(
      'a program',
      ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', () => setTimeout(resolve, 2500))),
      { timeoutMs: 2100 },
    );
    expect(await stopped(runner, 2000)).toBe(4500);
    expect(ends()).toEqual([['a program', 'handler-failed']]);
  });

  it('does not wait for ever for what never ends', async () => {
    const { runner, submit, ends } = start();
    submit('stuck', () => NEVER, { timeoutMs: 600_000 });
    submit('stuck after its time-out', () => NEVER, { timeoutMs: 100 });
    await vi.advanceTimersByTimeAsync(200);
    const took = await stopped(runner, 10_000);
    expect(took).toBeGreaterThanOrEqual(10_000);
    expect(took).toBeLessThanOrEqual(14_000);
    expect(ends()).toEqual([
      ['stuck after its time-out', 'handler-timeout'],
      ['stuck', 'handler-failed'],
    ]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('waits not at all when told so, but for the end of what it aborts', async () => {
    const { runner, submit, ends } = start();
    submit('obedient', ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', resolve)));
    expect(await stopped(runner, 0)).toBeLessThanOrEqual(1);
    expect(ends()).toEqual([['obedient', 'handler-failed']]);
  });
});

describe('whatever the handlers do', () => {
  const kind = fc.oneof(
    fc.constantFrom('returns', 'throws', 'never', 'obeys'),
    fc.tuple(fc.constantFrom('resolves', 'rejects'), fc.integer({ min: 0, max: 8000 })),
  );
  const step = fc.record({
    kind,
    timeoutMs: fc.integer({ min: 100, max: 5000 }),
    bytes: fc.integer({ min: 1, max: 1300 }),
    pause: fc.integer({ min: 0, max: 2000 }),
  });

  const behaviour = (one: string | [string, number]) => (context: HandlerContext) => {
    if (one === 'returns') return 1;
    if (one === 'throws') throw new Error('x');
    if (one === 'never') return NEVER;
    if (one === 'obeys') return new Promise((resolve) => context.signal.addEventListener('abort', resolve));
    const [how, ms] = typeof one === 'string' ? [one, 0] : one;
    return how === 'resolves' ? resolveIn(ms, 1) : rejectIn(ms, new Error('x'));
  };

  it('each command ends exactly once, in the order of its coming it begins, and never do more run than may', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 40 }),
        fc.record({
          running: fc.integer({ min: 1, max: 4 }),
          waiting: fc.integer({ min: 0, max: 6 }),
          waitingBytes: fc.integer({ min: 1300, max: 4000 }),
        }),
        fc.option(fc.nat(39), { nil: undefined }),
        async (steps, limits, stopAt) => {
          const { runner, submit, started, replies } = start(limits);
          for (const [index, { kind: one, timeoutMs, bytes, pause }] of steps.entries()) {
            submit(String(index), behaviour(one), { timeoutMs, bytes });
            expect(runner.running).toBeLessThanOrEqual(limits.running);
            expect(runner.waiting).toBeLessThanOrEqual(limits.waiting);
            if (index === stopAt) void runner.stop(1000);
            await vi.advanceTimersByTimeAsync(pause);
          }
          await vi.advanceTimersByTimeAsync(600_000);
          expect(replies.map(([name]) => Number(name)).sort((a, b) => a - b)).toEqual(steps.map((_, index) => index));
          expect(started.map(Number)).toEqual(started.map(Number).sort((a, b) => a - b));
          expect(runner.waiting).toBe(0);
          // What was stuck when it stopped is so for ever.
          if (stopAt === undefined || stopAt >= steps.length) expect(runner.running).toBe(0);
          expect(vi.getTimerCount()).toBe(0);
        },
      ),
      { seed: SEED, numRuns: 60 },
    );
  });
});

describe('other limits', () => {
  it('that are higher let what waits run at once, in its order and before what comes later', async () => {
    const { runner, submit, started, ends } = start({ running: 1 });
    submit('a', () => NEVER);
    submit('b', () => NEVER);
    submit('c', () => NEVER);
    submit('one too many', () => 1);
    runner.limit({ ...LIMITS, running: 3, waiting: 1 });
    submit('d', () => NEVER);
    expect(started).toEqual(['a', 'b', 'c']);
    expect([runner.running, runner.waiting]).toEqual([3, 1]);
    expect(ends()).toEqual([['one too many', 'busy']]);
  });

  it('that are lower end nothing: what is above them runs, and waits, until it is its turn', async () => {
    const { runner, submit, started, ends } = start();
    for (const name of ['a', 'b', 'c', 'd']) submit(name, () => resolveIn(100, name));
    runner.limit({ running: 1, waiting: 0, waitingBytes: 0 });
    expect([runner.running, runner.waiting]).toEqual([2, 2]);
    submit('one too many', () => 1);
    await vi.advanceTimersByTimeAsync(150);
    expect(started).toEqual(['a', 'b', 'c']);
    await vi.advanceTimersByTimeAsync(200);
    expect(ends()).toEqual([['one too many', 'busy'], ...['a', 'b', 'c', 'd'].map((name) => [name, 'done'])]);
  });
});
