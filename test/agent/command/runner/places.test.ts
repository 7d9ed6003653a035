import { expect, it, onTestFinished } from 'vitest';
import { silentLog } from '../../../../agent/base/log.js';
import { createPlaces } from '../../../../agent/command/runner/places.js';
import { compileBuiltIn, compileHandler } from '../../../../agent/handlers/registry.js';
import type { Reply } from '../../../../shared/command.js';
import { deferred } from '../../../support/deferred.js';

const LIMITS = { running: 2, waiting: 1, waitingBytes: 10_000 };

/** Places, and a handler of the configuration, a built-in one that hangs, and a built-in one that does not. */
function start() {
  const places = createPlaces(LIMITS, { deviceId: 'box', log: silentLog, emit: async () => undefined });
  const held = deferred();
  onTestFinished(async () => {
    held.resolve();
    await places.stop(0);
  });
  const hang = () => held.promise;
  const handlers = {
    configured: compileHandler({ name: 'configured', description: '', safe: true, run: hang }),
    stuck: compileBuiltIn({ name: 'stuck', description: '', safe: true, run: hang }),
    quick: compileBuiltIn({ name: 'quick', description: '', safe: true, run: () => 'here' }),
    unsafe: compileBuiltIn({ name: 'unsafe', description: '', run: () => 'here' }),
  };
  const submit = (name: keyof typeof handlers, count = 1): (Reply | undefined)[] =>
    Array.from({ length: count }, () => {
      let reply: Reply | undefined;
      const command = { name, params: { positional: [], named: {} }, format: 'text', peer: 'gateway' } as const;
      places.submit({
        command,
        holder: 'one',
        handler: handlers[name],
        params: {},
        bytes: 10,
        done(given) {
          reply = given;
        },
      });
      return reply;
    });
  return { places, submit, release: () => held.resolve() };
}

const BUSY = { error: { code: 'busy', message: expect.any(String) } };

it('a built-in safe command runs while all configured places are taken and the queue is full', () => {
  const { places, submit } = start();
  expect(submit('configured', 4)).toEqual([undefined, undefined, undefined, BUSY]);
  expect(submit('quick')).toEqual([{ result: 'here' }]);
  expect(places).toMatchObject({ running: 2, waiting: 1, isStuck: false });
});

it('a built-in command that hangs keeps no other from its places, and is bounded itself', () => {
  const { places, submit } = start();
  expect(submit('stuck', 1000).filter((reply) => reply !== undefined)).toContainEqual(BUSY);
  // All are of one address, to which the last quarter is not given.
  expect(places.running).toBe((3 / 4) * 256);
  expect(submit('quick')).toEqual([{ result: 'here' }]);
  expect(submit('configured')).toEqual([undefined]);
});

it('a built-in command that is not safe takes a configured place', () => {
  const { submit } = start();
  submit('configured', 3);
  expect(submit('unsafe')).toEqual([BUSY]);
});

it('a stop waits for the built-in commands too, and refuses those that come later', async () => {
  const { places, submit, release } = start();
  submit('stuck');
  let isStopped = false;
  const stopped = places.stop(60_000).then(() => {
    isStopped = true;
  });
  await Promise.resolve();
  expect(isStopped).toBe(false);
  release();
  await stopped;
  expect(submit('quick')).toEqual([BUSY]);
});
