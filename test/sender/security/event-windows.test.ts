import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createEventWindows } from '../../../sender/security/event-windows.js';
import { openKeyStore } from '../../../sender/security/key-store.js';
import { deviceMasterSecret } from '../../../shared/oscore/identities.js';
import { EVENT_WINDOW_SIZE } from '../../../shared/oscore/replay-window.js';
import { makeOperatorKeys } from '../../support/operator-keys.js';
import { SEED } from '../../support/seed.js';

const keyOf = (deviceId: string, fleet = 7) => ({
  deviceId,
  masterSecret: deviceMasterSecret(Buffer.alloc(32, fleet), deviceId),
});
const KEY = keyOf('a');

/** Opens the windows of a file, as each process of an installation does. */
function openWindows(path: string) {
  const store = openKeyStore(path);
  if (store === undefined) throw new Error('there is no file');
  onTestFinished(() => store.close());
  return { store, ...createEventWindows(store) };
}

const makeWindows = () => openWindows(makeOperatorKeys([]).path);

describe('the numbers of events', () => {
  it('say of the first event of a device, and of those before it, that they may be old', () => {
    const { record } = makeWindows();
    expect([500, 499, 501, 7].map((number) => record(KEY, number))).toEqual(['unknown', 'unknown', true, 'unknown']);
  });

  it('are taken once, by all processes, and after a restart', () => {
    const { path } = makeOperatorKeys([]);
    const [one, other] = [openWindows(path), openWindows(path)];
    expect([one.record(KEY, 1), other.record(KEY, 1), other.record(KEY, 2), one.record(KEY, 2)]).toEqual([
      ...['unknown', 'repeat', true, 'repeat'],
    ]);
    one.store.close();
    expect([1, 2, 3].map((number) => openWindows(path).record(KEY, number))).toEqual(['repeat', 'repeat', true]);
  });

  it('are those of one device and one secret', () => {
    const { record } = makeWindows();
    for (const key of [KEY, keyOf('b'), keyOf('a', 8)]) {
      expect([record(key, 5), record(key, 6), record(key, 5)]).toEqual(['unknown', true, 'repeat']);
    }
  });

  it('are too old to tell below the lowest of as many as are kept', () => {
    const { store, record } = makeWindows();
    record(KEY, 1000);
    const numbers = Array.from({ length: EVENT_WINDOW_SIZE }, (_, index) => 1000 + 2 * index);
    store.run('UPDATE event_windows SET numbers = ?', [JSON.stringify(numbers)]);
    expect([999, 1000, 1001, 1000, 1001].map((number) => record(KEY, number))).toEqual([
      ...['repeat', 'repeat', true, 'repeat', 'repeat'],
    ]);
  });

  it('are each taken exactly once, in whatever order and however often the events come', () => {
    const deliveries = fc
      .uniqueArray(fc.integer({ min: 0, max: 2 ** 40 - 1 }), { minLength: 1, maxLength: 8 })
      .chain((numbers) =>
        fc.tuple(
          fc.constant(numbers),
          fc.shuffledSubarray(
            numbers.flatMap((number) => [number, number, number]),
            { minLength: 3 * numbers.length },
          ),
        ),
      );
    const { record } = makeWindows();
    let device = 0;
    fc.assert(
      fc.property(deliveries, ([numbers, delivered]) => {
        const key = keyOf(`device ${device++}`);
        const taken = delivered.filter((number) => record(key, number) !== 'repeat');
        expect(taken.toSorted((a, b) => a - b)).toEqual(numbers.toSorted((a, b) => a - b));
      }),
      { seed: SEED, numRuns: 30 },
    );
  });
});

describe('who only looks', () => {
  it('stores nothing, and knows again what was seen', () => {
    const { store, look, record } = makeWindows();
    expect([10, 11, 11, 9].map((number) => look(KEY, number))).toEqual(['unknown', true, 'unknown', 'unknown']);
    expect(store.all('SELECT 1 FROM event_windows')).toEqual([]);
    expect([10, 11].map((number) => record(KEY, number))).toEqual(['unknown', true]);
  });

  it('says of what was reported already that it may be old', () => {
    const { path } = makeOperatorKeys([]);
    const [listener, viewer] = [openWindows(path), openWindows(path)];
    listener.record(KEY, 1);
    expect([1, 2].map((number) => viewer.look(KEY, number))).toEqual(['unknown', true]);
  });
});

it('a stored window that is damaged is an error, and no new window', () => {
  const { store, record } = makeWindows();
  record(KEY, 1);
  store.run('UPDATE event_windows SET numbers = ?', ['[1,']);
  expect(() => record(KEY, 1)).toThrow(expect.objectContaining({ code: 'keys-unusable' }));
});
