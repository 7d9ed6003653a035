import { expect, it } from 'vitest';
import { SEED, seededRandom } from '../../support/seed.js';
import { liveDamaged } from './damaged-lives.js';
import { EVENTS } from './endings.js';

/** Devices side by side, and how many lives each has: with the power cuts, 300 together. */
const DEVICES = 3;
const LIVES = 84;
/** Each event comes so often at least: it is in each series, but needs a copy of the folder at times. */
const LEAST = 6;

function sumOf(tallies: readonly ReadonlyMap<string, number>[]): Map<string, number> {
  const sum = new Map<string, number>();
  for (const [what, count] of tallies.flatMap((tally) => [...tally])) sum.set(what, (sum.get(what) ?? 0) + count);
  return sum;
}

it(`in ${DEVICES * LIVES} lives on damaged state folders no nonce is used twice, and nothing old is accepted (seed ${SEED})`, async () => {
  const devices = await Promise.all(
    Array.from({ length: DEVICES }, (_, index) => liveDamaged(LIVES, seededRandom(SEED + index), `device ${index}`)),
  );
  const tally = sumOf(devices.map((device) => device.tally));
  const encryptions = devices.reduce((sum, { nonces }) => sum + nonces.size, 0);
  const replays = devices.reduce((sum, device) => sum + device.replays, 0);
  const again = devices.flatMap(({ runs }) => [...runs.values()].filter((count) => count > 1));
  const lines = [...tally].map(([what, count]) => `${count} × ${what}`).sort();
  console.log(
    [...lines, `${encryptions} encryptions, ${replays} old datagrams, ${again.length} accepted (excused)`].join('\n'),
  );

  for (const { nonces, answered } of devices) {
    // All encryptions are in the log: those of the responses that came are.
    const logged = new Set([...nonces].map((line) => line.split(' ')[1]));
    expect(answered.filter((nonce) => !logged.has(nonce))).toEqual([]);
    expect(answered.length).toBeGreaterThan(LIVES);
  }
  expect(EVENTS.filter((event) => (tally.get(event) ?? 0) < LEAST)).toEqual([]);
  expect(tally.get('without a synchronised clock, is silent')).toBeGreaterThan(LEAST);
  expect(tally.get('act answered with 2.04')).toBeGreaterThan(LIVES);
  // What no device can detect was not detected: so these are requests that run, where nothing speaks against them.
  expect(again.length).toBeGreaterThan(0);
}, 400_000);
