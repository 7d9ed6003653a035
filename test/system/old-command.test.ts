import { describe, expect, it } from 'vitest';
import { systemClock } from '../../agent/base/moment.js';
import { datagramKey, digestOf } from '../../agent/command/dedup/entry.js';
import { createJournal } from '../../agent/command/journal/journal.js';
import { formatEndpoint } from '../../agent/transport/endpoint.js';
import { openTestDatabase, told } from '../agent/command/journal/support.js';
import { type CallFormat, createCall, type Peer } from '../support/caller.js';
import { type Device, prepareDevice } from '../support/device.js';
import { LINKS, type StoryLink } from '../support/story-links.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const NOW_S = Math.floor(Date.now() / 1000);

/** How long before the start it was accepted, and by which clock. */
interface Acceptance {
  readonly agoMs: number;
  /** In another boot, which began an hour before. */
  readonly otherBoot?: true;
  /** Unix seconds. */
  readonly deadline?: number;
  /** It may run twice, and was running. */
  readonly startedOnce?: boolean;
}

/** Leaves the device's journal as an agent does that took the command in, and was killed. */
async function acceptBefore(
  { folder, endpoint }: Device,
  link: StoryLink,
  caller: Peer['endpoint'],
  format: CallFormat,
  bytes: Buffer,
  { agoMs, otherBoot, deadline, startedOnce = false }: Acceptance,
): Promise<void> {
  const now = systemClock()();
  const monotonic = otherBoot ? HOUR_MS : now.monotonic - agoMs;
  const then = { wall: now.wall - agoMs, monotonic, boot: otherBoot ? 'another' : now.boot };
  const database = await openTestDatabase(folder);
  const journal = createJournal(database, () => then);
  await journal.recover(() => ({}));
  const peer = link === 'udp' ? formatEndpoint(caller) : 'gateway';
  const key = digestOf(datagramKey(peer, bytes));
  const error = await told((done) =>
    journal.accept(
      {
        key,
        peer,
        name: 'act.once',
        format,
        request: bytes,
        source: caller,
        port: endpoint.port,
        transport: link === 'udp' ? 'udp' : 'modem',
        idempotent: startedOnce,
        deadline: deadline === undefined ? null : deadline * 1000,
        lifetimeMs: 247_000,
      },
      done,
    ),
  );
  expect(error).toBeUndefined();
  if (startedOnce) expect(await told((done) => journal.start(key, done))).toBeUndefined();
  await database.close();
}

/** Of each: whether it still runs. */
const TABLE: readonly [string, Acceptance, runs: boolean][] = [
  ['days ago', { agoMs: 3 * DAY_MS }, false],
  ['days ago, in another boot', { agoMs: 3 * DAY_MS, otherBoot: true }, false],
  ['six minutes ago', { agoMs: 6 * MINUTE_MS }, false],
  ['six minutes ago, in another boot', { agoMs: 6 * MINUTE_MS, otherBoot: true }, false],
  ['a minute ago', { agoMs: MINUTE_MS }, true],
  ['an hour from now, by a clock that has gone back with the boot', { agoMs: -HOUR_MS, otherBoot: true }, false],
  ['six minutes ago, with a deadline to come', { agoMs: 6 * MINUTE_MS, deadline: NOW_S + 3600 }, true],
  ['a minute ago, with a deadline that has passed', { agoMs: MINUTE_MS, deadline: NOW_S - 1 }, false],
];

const FORMATS = ['json', 'coap'] as const;
/** What the link has no part in is told by one; those with a deadline are told by each. */
const CASES = LINKS.flatMap((link) =>
  (link === 'udp' ? TABLE : TABLE.slice(-2)).flatMap(([when, ...rest]) =>
    FORMATS.map((format) => [link, when, format, ...rest] as const),
  ),
);

describe('a command that was accepted before the start, and never started', () => {
  it.each(CASES)('%s: %s: %s', async (link, _, format, acceptance, runs) => {
    // The machine that tests need not have a synchronised clock.
    const device = await prepareDevice({ deadline: { unsynchronized: 'run' } }, link);
    const caller = await device.openPeer();
    const call = createCall(caller, device.endpoint, format, 'act.once', { number: 1 }, acceptance.deadline);
    await acceptBefore(device, link, caller.endpoint, format, call.bytes, acceptance);
    await device.start();
    const expected = runs ? 'done' : 'expired';
    expect((await call.end()).summary).toBe(expected);
    expect((await call.repeat()).summary).toBe(format === 'coap' ? expected : `repeat ${expected}`);
    await device.answers();
    expect(await call.endsSoFar()).toEqual([]);
    expect(device.runs().size).toBe(runs ? 1 : 0);
    expect(await device.shown('act.once')).toMatchObject(
      runs ? { state: 'done', runs: 1 } : { state: 'refused', outcome: 'refused', code: 'expired', runs: 0 },
    );
  });
});

it.each(LINKS.flatMap((link) => FORMATS.map((format) => [link, format] as const)))(
  '%s: a command that had started is not told that it never ran, also when it cannot run again: %s',
  async (link, format) => {
    const device = await prepareDevice({}, link);
    const caller = await device.openPeer();
    // The handlers were changed before the start.
    const call = createCall(caller, device.endpoint, format, 'act.gone');
    await acceptBefore(device, link, caller.endpoint, format, call.bytes, { agoMs: MINUTE_MS, startedOnce: true });
    await device.start();
    expect((await call.end()).summary).toBe('interrupted');
    expect((await device.list())[0]).toMatchObject({ state: 'interrupted', code: 'interrupted', runs: 1 });
  },
);
