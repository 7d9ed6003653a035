import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createEchoValues, ECHO_MS } from '../../../agent/security/echo.js';
import type { DeviceKey } from '../../../agent/security/key-file.js';
import {
  createReplayGuard,
  MAX_CHALLENGED,
  MAX_LOWER_CHALLENGES,
  type ReplayGuard,
} from '../../../agent/security/replay-guard.js';
import { NEW_WINDOW, WINDOW_SIZE } from '../../../shared/oscore/replay-window.js';
import { MAX_SEQUENCE_NUMBER } from '../../../shared/oscore/sequence-number.js';
import { testKey } from '../../support/security.js';
import { SEED } from '../../support/seed.js';

const KEY = testKey();
const OTHER = testKey({ name: 'other', kid: 2 });

/** A guard with a clock that the test moves. */
function start() {
  const clock = { now: 50_000 };
  const now = () => clock.now;
  const guard = createReplayGuard(createEchoValues(now), now);
  /** What happens to a verified request: what may be fresh is judged, what is fresh is accepted. */
  const receive = (number: number, echo?: Uint8Array, key = KEY) => {
    if (!guard.mayBeFresh(key, number)) return 'replay';
    const freshness = guard.judge(key, number, echo);
    if (freshness === 'fresh') guard.accept(key, number);
    return freshness;
  };
  return { clock, guard, receive };
}

/** Challenges a request, and returns the Echo value. */
function challenge(guard: ReplayGuard, key: DeviceKey, number: number): Buffer {
  guard.admitChallenge(key, number);
  return guard.echoFor(key);
}

describe('a key whose window is lost', () => {
  it('has no request accepted that Echo has not shown to be fresh', () => {
    const { guard, receive } = start();
    expect(receive(1000)).toBe('unknown');
    expect(receive(1000)).toBe('unknown');
    expect(guard.isKnown(KEY)).toBe(false);
    const echo = challenge(guard, KEY, 1000);
    expect(receive(1001, Buffer.alloc(echo.length))).toBe('unknown');
    expect(receive(1001, echo)).toBe('fresh');
    expect(guard.isKnown(KEY)).toBe(true);
    expect(receive(1001, echo)).toBe('replay');
    expect(receive(1002)).toBe('fresh');
  });

  it('never has a request accepted later that was challenged, nor an older one', () => {
    const { clock, guard, receive } = start();
    const echo = challenge(guard, KEY, 1000);
    challenge(guard, KEY, 2000);
    expect(receive(1001, echo)).toBe('fresh');
    const all = [999, 1000, 1500, 2000];
    expect(all.map((number) => receive(number))).toEqual(['unknown', 'replay', 'unknown', 'replay']);
    clock.now += ECHO_MS;
    expect(all.map((number) => receive(number))).toEqual(Array(4).fill('replay'));
    expect(receive(2001)).toBe('fresh');
  });

  it('has each of several requests accepted that were challenged at once, in any order, and each once', () => {
    const { guard, receive } = start();
    const echoes = [10, 20, 30].map((number) => challenge(guard, KEY, number));
    expect(receive(33, echoes[2])).toBe('fresh');
    expect(receive(31, echoes[0])).toBe('fresh');
    expect(receive(32, echoes[1])).toBe('fresh');
    expect([31, 32, 33].map((number) => receive(number, echoes[0]))).toEqual(Array(3).fill('replay'));
  });

  it('does not take the Echo value of another key, nor one that is too old', () => {
    const { clock, guard, receive } = start();
    expect(receive(11, challenge(guard, OTHER, 10))).toBe('unknown');
    const echo = challenge(guard, KEY, 10);
    clock.now += ECHO_MS;
    expect(receive(11, echo)).toBe('unknown');
  });

  it('has what cannot be fresh refused before it is decrypted, and what is verified judged all the same', () => {
    const { clock, guard, receive } = start();
    const echo = challenge(guard, KEY, 1000);
    expect(guard.mayBeFresh(KEY, 0)).toBe(true);
    receive(1001, echo);
    const all = [999, 1000, 1001, 1002];
    expect(all.map((number) => guard.mayBeFresh(KEY, number))).toEqual([true, false, false, true]);
    expect(all.map((number) => guard.judge(KEY, number, echo))).toEqual(['fresh', 'fresh', 'replay', 'fresh']);
    clock.now += ECHO_MS;
    expect(all.map((number) => guard.mayBeFresh(KEY, number))).toEqual([false, false, false, true]);
    const young = challenge(guard, KEY, 1000);
    expect(all.map((number) => guard.judge(KEY, number, young))).toEqual(['replay', 'replay', 'replay', 'fresh']);
  });

  it('has each number challenged once: who sends a recorded request again and again gets no more challenges', () => {
    const { guard, receive } = start();
    expect([guard.admitChallenge(KEY, 1000), guard.admitChallenge(KEY, 1000)]).toEqual([true, false]);
    expect(receive(1000)).toBe('replay');
    for (let number = 2000; number < 2000 + MAX_CHALLENGED; number++) guard.admitChallenge(KEY, number);
    // Only so many are remembered.
    expect([1000, 2000, 2001].map((number) => receive(number))).toEqual(['unknown', 'replay', 'replay']);
  });

  it('has lower numbers than one before challenged at a limited rate, and a higher one always', () => {
    const { clock, guard } = start();
    expect(guard.admitChallenge(KEY, 100_000)).toBe(true);
    const admitted = () =>
      Array.from({ length: 50 }, (_, n) => guard.admitChallenge(KEY, clock.now + n)).filter(Boolean);
    clock.now = 60_000;
    expect(admitted()).toHaveLength(MAX_LOWER_CHALLENGES);
    expect(guard.admitChallenge(KEY, 100_001)).toBe(true);
    clock.now = 61_000;
    expect(admitted()).toHaveLength(MAX_LOWER_CHALLENGES);
  });

  it('has a challenge that was not sent admitted again', () => {
    const { guard } = start();
    guard.admitChallenge(KEY, 1000);
    guard.withdrawChallenge(KEY, 1000);
    expect(guard.admitChallenge(KEY, 1000)).toBe(true);
  });

  it('takes an Echo value up to its age also for what is below the floor', () => {
    const { clock, guard, receive } = start();
    const echo = challenge(guard, KEY, 10);
    challenge(guard, KEY, 20);
    clock.now += ECHO_MS - 2000;
    expect(receive(22, echo)).toBe('fresh');
    expect(receive(21, echo)).toBe('fresh');
    clock.now += 2000;
    expect(receive(19, echo)).toBe('unknown');
  });

  it('has no further request accepted after the highest number', () => {
    const { guard, receive } = start();
    const echo = challenge(guard, KEY, MAX_SEQUENCE_NUMBER - 1);
    expect(receive(MAX_SEQUENCE_NUMBER, echo)).toBe('fresh');
    expect(receive(MAX_SEQUENCE_NUMBER, echo)).toBe('replay');
  });
});

describe('a key whose window was restored', () => {
  it('has fresh requests accepted at once, and no replays', () => {
    const { guard, receive } = start();
    guard.restore({ [KEY.fingerprint]: { floor: 5, numbers: [7, 9] } });
    expect([4, 7, 9].map((number) => receive(number))).toEqual(Array(3).fill('replay'));
    expect([8, 10].map((number) => receive(number))).toEqual(['fresh', 'fresh']);
  });

  it('leaves other keys unknown', () => {
    const { guard } = start();
    guard.restore({ [KEY.fingerprint]: NEW_WINDOW });
    expect([KEY, OTHER].map(guard.isKnown)).toEqual([true, false]);
  });

  it('goes on as the one that was stored', () => {
    const first = start();
    first.receive(11, challenge(first.guard, KEY, 10));
    first.receive(15);
    const stored: unknown = JSON.parse(JSON.stringify(first.guard.windows));
    expect(stored).toEqual({ [KEY.fingerprint]: { floor: 11, numbers: [11, 15] } });
    const second = start();
    second.guard.restore(first.guard.windows);
    expect([10, 11, 15].map((number) => second.receive(number))).toEqual(Array(3).fill('replay'));
    expect(second.receive(12)).toBe('fresh');
  });
});

describe('a key that is taken away', () => {
  it('has its window forgotten, and others keep theirs', () => {
    const { guard, receive } = start();
    for (const key of [KEY, OTHER]) receive(11, challenge(guard, key, 10), key);
    guard.retain([OTHER]);
    expect(Object.keys(guard.windows)).toEqual([OTHER.fingerprint]);
    expect([KEY, OTHER].map(guard.isKnown)).toEqual([false, true]);
  });

  it('and given back has no request accepted again, although its Echo value is not old', () => {
    const { guard, receive } = start();
    const echo = challenge(guard, KEY, 10);
    expect(receive(11, echo)).toBe('fresh');
    guard.retain([]);
    guard.retain([KEY]);
    expect(receive(11, echo)).toBe('unknown');
    expect(receive(12, challenge(guard, KEY, 11))).toBe('fresh');
  });
});

type Step =
  | { readonly kind: 'send'; readonly step: number }
  | { readonly kind: 'replay' | 'answer'; readonly which: number }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'restart' | 'retain' };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('send'), step: fc.constantFrom(1, 2, 900) }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constantFrom('replay', 'answer'), which: fc.nat(200) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pass'), ms: fc.constantFrom(10, 2000, 100_000, ECHO_MS) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('restart', 'retain') }) },
);

interface Sent {
  readonly number: number;
  readonly echo: Uint8Array | undefined;
}

describe('over all requests of a key', () => {
  it('none is accepted twice, none that was challenged, and each new one with a valid Echo is', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 150, size: 'max' }), fc.boolean(), (steps, isLost) => {
        let device = start();
        if (!isLost) device.guard.restore({ [KEY.fingerprint]: NEW_WINDOW });
        const sent: Sent[] = [];
        const accepted = new Set<number>();
        const challenged = new Set<number>();
        /** Echo values that came back, and have not been used. */
        const echoes: { readonly echo: Uint8Array; readonly at: number }[] = [];
        let last = 0;
        const receive = ({ number, echo }: Sent) => {
          const found = device.receive(number, echo);
          if (found === 'unknown' && device.guard.admitChallenge(KEY, number)) {
            challenged.add(number);
            echoes.push({ echo: device.guard.echoFor(KEY), at: device.clock.now });
          }
          if (found !== 'fresh') return found;
          if (accepted.has(number) || challenged.has(number)) throw new Error(`${number} was accepted wrongly`);
          accepted.add(number);
          return found;
        };
        const send = (by: number, echo: Uint8Array | undefined) => {
          last += by;
          sent.push({ number: last, echo });
          return receive({ number: last, echo });
        };
        for (const each of steps) {
          if (each.kind === 'send') send(each.step, undefined);
          else if (each.kind === 'pass') device.clock.now += each.ms;
          else if (each.kind === 'replay') {
            const old = sent[each.which % (sent.length + 1)];
            if (old !== undefined) receive(old);
          } else if (each.kind === 'answer') {
            const [answered] = echoes.splice(each.which % (echoes.length + 1), 1);
            if (answered === undefined || device.clock.now - answered.at > ECHO_MS - 1000) continue;
            expect(send(1, answered.echo)).toBe('fresh');
          } else {
            echoes.splice(0);
            if (each.kind === 'retain') {
              device.guard.retain([OTHER]);
              continue;
            }
            const { now } = device.clock;
            device = start();
            device.clock.now = now;
          }
        }
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  it('any number of requests that were challenged at once are let in, as long as the window is not full', () => {
    const order = fc.shuffledSubarray(
      Array.from({ length: WINDOW_SIZE }, (_, index) => index),
      { minLength: WINDOW_SIZE },
    );
    fc.assert(
      fc.property(order, (numbers) => {
        const { guard, receive } = start();
        const echoes = numbers.map((number) => challenge(guard, KEY, number));
        for (const number of numbers) expect(receive(WINDOW_SIZE + number, echoes[number])).toBe('fresh');
        for (const number of numbers) expect(receive(WINDOW_SIZE + number, echoes[number])).toBe('replay');
        expect(guard.windows[KEY.fingerprint]?.numbers).toHaveLength(WINDOW_SIZE);
      }),
      { seed: SEED, numRuns: 50 },
    );
  });
});
