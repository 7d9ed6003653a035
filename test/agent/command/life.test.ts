import { decode, encode } from 'cborg';
import { describe, expect, it } from 'vitest';
import { defineHandler } from '../../../agent/handlers/handler.js';
import { requestBytes, summary } from '../../support/coap.js';
import { recordingLog } from '../../support/log.js';
import { heldHandler, onDisk, settled, startWired } from './wired-support.js';

/** An error that cannot be looked at. */
class BadCode extends Error {
  readonly remedy = 'none';
  get code(): never {
    throw new Error('no code');
  }
}

const everyTrap = (): object => {
  const evil: object = new Proxy(
    {},
    {
      getPrototypeOf() {
        throw evil;
      },
      get() {
        throw evil;
      },
      ownKeys() {
        throw evil;
      },
      has: () => false,
    },
  );
  return evil;
};

const HOSTILE: [what: string, make: () => unknown][] = [
  [
    'whose getter throws an error that cannot be looked at',
    () => ({
      get x() {
        throw new BadCode();
      },
    }),
  ],
  ['that is a proxy whose traps throw itself', everyTrap],
  [
    'that is an array whose methods throw',
    () =>
      Object.assign([1], {
        every: () => {
          throw everyTrap();
        },
        map: () => {
          throw everyTrap();
        },
        toJSON: () => {
          throw everyTrap();
        },
      }),
  ],
];

const REQUESTS: [format: string, request: string | Uint8Array][] = [
  ['text', '#1 bad'],
  ['json', '{"id":1,"method":"bad"}'],
  ['cbor', encode({ id: 1, method: 'bad' })],
  ['coap', requestBytes({ path: 'bad', messageId: 9 })],
  ['coap that accepts text', requestBytes({ path: 'bad', messageId: 9, accept: 0 })],
  ['coap that accepts octets', requestBytes({ path: 'bad', messageId: 9, accept: 42 })],
];

describe('a result', () => {
  describe.each(HOSTILE)('%s', (_what, make) => {
    it.each(REQUESTS)('is settled, and its repeat answered as the first: %s', async (_format, request) => {
      let runs = 0;
      const bad = defineHandler({
        name: 'bad',
        description: '',
        run() {
          runs++;
          return make();
        },
      });
      const { reply, folder, counters } = await startWired({ handlers: [bad] });
      const first = await reply(request);
      const repeated = await reply(request);
      expect(first.length).toBeGreaterThan(0);
      expect(repeated.length).toBeGreaterThan(0);
      expect(runs).toBe(1);
      expect(counters.repeats).toBe(1);
      expect(onDisk(folder).map(({ state }) => state)).toEqual(['done']);
    });
  });

  it('of a CBOR command that a request could not have is repeated with its mark', async () => {
    const big = defineHandler({ name: 'big', description: '', run: () => ({ count: 2n ** 60n }) });
    const { reply } = await startWired({ handlers: [big] });
    const request = encode({ id: 1, method: 'big' });
    await reply(request);
    expect(decode(await reply(request), { allowBigInt: true })).toMatchObject({
      repeat: true,
      result: { count: 2n ** 60n },
    });
  });

  it('of raw bytes is copied, so that nothing else in their object is used', async () => {
    const bytes = Buffer.from('abcd');
    Object.defineProperty(bytes, 'buffer', {
      get: () => {
        throw new Error('no buffer');
      },
    });
    const raw = defineHandler({ name: 'raw', description: '', run: () => bytes });
    const once = defineHandler({ name: 'once', description: '', run: () => 1 });
    const ports = [6969, { port: 7001, format: 'raw' as const, handler: 'raw' }];
    const { receive, texts } = await startWired({ handlers: [raw, once], config: { listen: { ports } } });
    receive('x', undefined, 7001);
    receive('#1 once');
    await settled();
    expect(texts().sort()).toEqual(['#1 ok 1', 'abcd']);
  });

  it('whose error message is huge is cut', async () => {
    const run = () => ({
      toJSON: () => {
        throw new Error('x'.repeat(3_000_000));
      },
    });
    const { reply } = await startWired({ handlers: [defineHandler({ name: 'bad', description: '', run })] });
    const response = await reply(requestBytes({ path: 'bad', accept: 50 }));
    expect(summary(response)).toMatch(/^ACK 5\.00 .{500,}/);
    expect(response.length).toBeLessThanOrEqual(1300);
  });
});

describe('a promise with a method then of its own', () => {
  const promise = () => {
    const own = Promise.resolve('fine');
    Reflect.set(own, 'then', () => {
      throw new Error('own then');
    });
    return own;
  };
  const odd = defineHandler({ name: 'odd', description: '', run: promise });
  const once = defineHandler({ name: 'once', description: '', run: () => 1 });

  it('does not stop the commands that wait behind it, nor give their slots away twice', async () => {
    const held = heldHandler();
    const { log } = recordingLog();
    const { receive, texts, runner } = await startWired({
      handlers: [held.handler, odd, once],
      config: { limits: { running: 1 } },
      log,
    });
    for (const request of ['#1 hold', '#2 odd', '#3 once', '#4 odd', '#5 once']) receive(request);
    await held.running;
    held.release('ok');
    await expect.poll(texts).toHaveLength(5);
    expect(texts().sort()).toEqual(['#1 ok ok', '#2 ok fine', '#3 ok 1', '#4 ok fine', '#5 ok 1']);
    expect({ running: runner.running, waiting: runner.waiting, isStuck: runner.isStuck }).toEqual({
      running: 0,
      waiting: 0,
      isStuck: false,
    });
  });

  it('second in a batch leaves the count of running commands right', async () => {
    const { receive, runner, texts } = await startWired({ handlers: [odd, once], config: { limits: { running: 2 } } });
    for (const id of [1, 2]) receive(`[{"id":"a${id}","method":"once"},{"id":"b${id}","method":"odd"}]`);
    await expect.poll(texts).toHaveLength(2);
    expect(runner.running).toBe(0);
  });
});
