import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ModemFault } from '../../../../../agent/transport/modem/at/script.js';
import {
  ATTACH_WINDOW_MS,
  healthy,
  type LadderEffect,
  type LadderInput,
  type LadderState,
  MAX_ATTACHES,
  RESTS,
  RUNGS,
  stepLadder,
  wakeAt,
} from '../../../../../agent/transport/modem/recovery/ladder.js';
import { restoreLadder, saveLadder } from '../../../../../agent/transport/modem/recovery/ladder-store.js';
import type { Rung } from '../../../../../agent/transport/transport.js';
import { SEED } from '../../../../support/seed.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const TROUBLES: readonly ModemFault[] = [
  'silent',
  'reset',
  'closed',
  'sim',
  'registration',
  'context',
  'socket',
  'refused',
];
const fault = (what: ModemFault): LadderInput => ({ type: 'fault', fault: what });

/**
 * A link whose rungs each take a time and end with fault, until one helps. Gives the rungs climbed, by time.
 */
function climb(
  first: ModemFault,
  {
    help = () => false,
    next = (_rung: Rung) => first,
    takes = 1000,
    until = HOUR,
    random = 0,
    restartEvery = 0,
  } = {} as {
    help?: (rung: Rung, count: number) => boolean;
    next?: (rung: Rung) => ModemFault;
    takes?: number;
    until?: number;
    random?: number;
    restartEvery?: number;
  },
) {
  const climbed: [at: number, rung: Rung][] = [];
  const waits: Extract<LadderEffect, { type: 'wait' }>[] = [];
  let state: LadderState = healthy;
  let now = 0;
  const feed = (input: LadderInput): void => {
    const after = stepLadder(state, input, now, random);
    state = after.state;
    for (const effect of after.effects) {
      if (effect.type === 'wait') waits.push(effect);
      else {
        climbed.push([now, effect.rung]);
        if (restartEvery > 0 && climbed.length % restartEvery === 0) {
          state = restoreLadder(JSON.parse(JSON.stringify(saveLadder(state, now))), now);
          continue;
        }
        now += takes;
        feed(help(effect.rung, climbed.length) ? { type: 'healthy' } : fault(next(effect.rung)));
      }
    }
  };
  feed(fault(first));
  for (let i = 0; i < 5000 && wakeAt(state) < until; i++) {
    now = Math.max(now, wakeAt(state));
    feed({ type: 'tick' });
  }
  return { climbed, waits, state, rungs: climbed.map(([, rung]) => rung) };
}

describe('the first rung for a fault', () => {
  it.each([
    ['socket', 'socket'],
    ['context', 'context'],
    ['registration', 'airplane'],
    ['silent', 'bring-up'],
    ['reset', 'bring-up'],
    ['refused', 'bring-up'],
    ['closed', 'port'],
    ['sim', 'bring-up'],
  ] as const)('of type %s is %s', (what, rung) => {
    const { rungs, state } = climb(what, { help: () => true });
    expect(rungs).toEqual([rung]);
    expect(state).toMatchObject({ rung: undefined, counts: { [rung]: 1 } });
  });

  it.each(['send', 'aborted'] as const)('does not exist for %s, which is no fault of the link', (what) => {
    expect(stepLadder(healthy, fault(what), 0, 0)).toEqual({ state: healthy, effects: [] });
  });
});

describe('the ladder climbs', () => {
  it('from the socket to the context, the radio, the reset and the power', () => {
    const { rungs } = climb('socket', { until: 10 * MINUTE });
    const firsts = [...new Set(rungs)];
    expect(firsts).toEqual(['socket', 'context', 'airplane', 'reset', 'power']);
  });

  it('with delays of 1, 2, 5, 10 and 30 s while the context cannot be activated', () => {
    const { climbed } = climb('context', { takes: 0, until: 2 * MINUTE });
    const times = climbed.filter(([, rung]) => rung === 'context').map(([at]) => at);
    expect(times).toEqual([1000, 3000, 8000, 18_000, 48_000]);
  });

  it('no further than the port while that cannot be opened, and tries it for ever', () => {
    const { rungs } = climb('closed', { takes: 0, until: HOUR });
    expect(new Set(rungs)).toEqual(new Set(['port']));
    expect(rungs.length).toBeGreaterThan(100);
  });

  it('from a new fault once a lost port is open again', () => {
    const { rungs } = climb('closed', { next: (rung) => (rung === 'port' ? 'silent' : 'socket'), until: MINUTE });
    expect(rungs.slice(0, 2)).toEqual(['port', 'bring-up']);
  });

  it('without registration to one radio cycle, and to resets after 15 minutes', () => {
    // Bring-up itself waits three minutes for the registration.
    const { climbed } = climb('registration', { takes: 3 * MINUTE, until: 40 * MINUTE });
    const at = (rung: Rung) => climbed.filter(([, one]) => one === rung).map(([time]) => time / MINUTE);
    expect(at('airplane')).toEqual([0]);
    // It had lasted for three minutes before.
    expect(at('reset')[0]).toBeGreaterThanOrEqual(12);
    expect(at('reset')[0]).toBeLessThan(16);
    expect(at('bring-up').length).toBeGreaterThan(1);
  });

  it('after polls without registration for three minutes', () => {
    let state: LadderState = healthy;
    const found: LadderEffect[] = [];
    for (let now = 0; now <= 4 * MINUTE; now += MINUTE) {
      const next = stepLadder(state, { type: 'registered', registered: false }, now, 0);
      state = next.state;
      found.push(...next.effects);
    }
    expect(found).toEqual([{ type: 'climb', rung: 'airplane' }]);
    expect(
      stepLadder(state, { type: 'registered', registered: true }, 5 * MINUTE, 0).state.unregisteredSince,
    ).toBeUndefined();
  });

  it('no further than a bring-up after each rest while the SIM is missing', () => {
    const { climbed, rungs } = climb('sim', { takes: 0, until: 4 * HOUR });
    expect(new Set(rungs)).toEqual(new Set(['bring-up']));
    const gaps = climbed.slice(1).map(([at], index) => at - (climbed[index]?.[0] ?? 0));
    expect(gaps.slice(0, 4)).toEqual([RESTS[0], RESTS[1], RESTS[2], RESTS[2]]);
  });
});

describe('the ladder without success', () => {
  it.each(TROUBLES)('continues for ever after %s, with rests, and keeps the limit of attaches', (what) => {
    const { climbed, waits, state } = climb(what, { until: 48 * HOUR, random: 0.5 });
    expect(climbed.at(-1)?.[0]).toBeGreaterThan(46 * HOUR);
    if (what !== 'closed') expect(waits.some(({ why }) => why === 'rest')).toBe(true);
    expectLimit(climbed);
    expect(RUNGS.reduce((sum, rung) => sum + state.counts[rung], 0)).toBe(climbed.length);
  });

  it('keeps the limit of attaches with any inputs, also over restarts of the agent', () => {
    const sometimes = fc.record({
      first: fc.constantFrom(...TROUBLES),
      others: fc.array(fc.constantFrom(...TROUBLES), { minLength: 1, maxLength: 10 }),
      helps: fc.integer({ min: 2, max: 9 }),
      takes: fc.integer({ min: 0, max: 30_000 }),
      restartEvery: fc.integer({ min: 0, max: 7 }),
      random: fc.double({ min: 0, max: 0.999, noNaN: true }),
    });
    fc.assert(
      fc.property(sometimes, ({ first, others, helps, takes, restartEvery, random }) => {
        let turn = 0;
        const next = () => others[turn++ % others.length] ?? first;
        const { climbed } = climb(first, {
          next,
          takes,
          restartEvery,
          random,
          until: 6 * HOUR,
          help: (_rung, count) => count % (helps * 50) === 0,
        });
        expect(climbed.length).toBeGreaterThan(0);
        expectLimit(climbed);
      }),
      { seed: SEED, numRuns: 200 },
    );
  });

  function expectLimit(climbed: readonly (readonly [number, Rung])[]): void {
    const attaches = climbed
      .filter(([, rung]) => ['context', 'airplane', 'reset', 'power'].includes(rung))
      .map(([at]) => at);
    for (const [index, at] of attaches.entries()) {
      const earlier = attaches[index - MAX_ATTACHES];
      if (earlier !== undefined) expect(at - earlier).toBeGreaterThanOrEqual(ATTACH_WINDOW_MS);
    }
  }
});

describe('the back-off of a rung', () => {
  it('is lengthened by jitter', () => {
    const wait = (random: number) => stepLadder(healthy, fault('context'), 0, random).effects[0];
    expect(wait(0)).toMatchObject({ ms: 1000 });
    expect(wait(0.999)).toMatchObject({ ms: 1250 });
  });

  it('is not shortened by the same fault again, only replaced by a worse one', () => {
    const waiting = stepLadder(healthy, fault('context'), 0, 0).state;
    expect(stepLadder(waiting, fault('context'), 10, 0)).toEqual({ state: waiting, effects: [] });
    expect(stepLadder(waiting, fault('socket'), 10, 0)).toEqual({ state: waiting, effects: [] });
    expect(stepLadder(waiting, fault('closed'), 10, 0).state.rung).toBe('port');
  });
});

describe('the saved state of the ladder', () => {
  it('is restored with its times moved to the new clock', () => {
    const { state } = climb('silent', { until: 5 * MINUTE });
    const saved: unknown = JSON.parse(JSON.stringify(saveLadder(state, 5 * MINUTE)));
    const restored = restoreLadder(saved, 1000);
    expect(saveLadder(restored, 1000)).toEqual(saved);
    expect(restored.counts).toEqual(state.counts);
    expect(restored.rung).toBe(state.rung);
  });

  it('repeats the rung that was being performed', () => {
    const busy = stepLadder(stepLadder(healthy, fault('context'), 0, 0).state, { type: 'tick' }, 1000, 0).state;
    const restored = restoreLadder(saveLadder(busy, 1500), 7000);
    expect(wakeAt(restored)).toBe(67_000);
    expect(stepLadder(restored, { type: 'tick' }, 67_000, 0).effects).toEqual([{ type: 'climb', rung: 'context' }]);
  });

  it.each([
    [undefined],
    [null],
    ['x'],
    [{}],
    [{ ...saveLadder(healthy, 0), rung: 'roof' }],
    [{ ...saveLadder(healthy, 0), attachesAgo: [-1] }],
  ])('is ignored when it is invalid: %j', (saved) => {
    expect(restoreLadder(saved, 0)).toEqual(healthy);
  });
});
