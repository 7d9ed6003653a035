import { randomInt } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type BroadcastFolder,
  broadcastFolder,
  buildBroadcast,
  resultsIn,
  shareDone,
  startBroadcast,
  untruthsOf,
} from '../../../support/broadcast.js';
import { fleetSims } from '../../../support/fleet.js';
import { startKeyedFleet } from '../../../support/keyed-fleet.js';
import { makeKiller } from '../../../support/kill-at.js';
import { needs } from '../../../support/needs.js';
import { watchNonces } from '../../../support/nonce-watch.js';
import { makeOperatorKeys } from '../../../support/operator-keys.js';
import { startTestLoopback } from '../../../support/round-trip.js';
import { SEED, type SeededRandom, seededRandom } from '../../../support/seed.js';

/** `npm run soak` takes another seed each time, and kills at all writes. */
const IS_LONG = process.env['SOAK_SIMS'] !== undefined;
const seed = Number(process.env['SOAK_SEED'] ?? (IS_LONG ? randomInt(2 ** 32) : SEED));
const hint = `SOAK_SEED=${seed}`;

const timeScale = 0.02;
const PACE = ['--interval', '100ms', '--concurrency', '200', '--timeout', '10s'];
const SIMS = 200;
/** Which writes of a small broadcast are tried, and how often a large one is killed. */
const EACH = IS_LONG ? 1 : 4;
const KILLS = IS_LONG ? 1000 : 12;
/** Writes of a large broadcast, and how often one is killed before it comes to its end. */
const WRITES = 1000;
const IN_A_ROW = 4;
/** More than one broadcast is killed. */
const MOST_KILLS = 200;
const LEAST_DONE = 0.9;
/** How many small broadcasts run at once. */
const AT_ONCE = 1;

let removeProgram = () => {};
beforeAll(async () => {
  removeProgram = await buildBroadcast();
});
afterAll(() => removeProgram());

async function start(count: number) {
  const loopback = await startTestLoopback({ sims: fleetSims(count), seed });
  const keys = makeOperatorKeys(loopback.sims);
  const folder = await broadcastFolder(loopback);
  const watch = watchNonces(loopback);
  const fleet = await startKeyedFleet(loopback, keys, folder.runs);
  return { loopback, keys, folder, watch, fleet, killAt: await makeKiller() };
}

type Scene = Awaited<ReturnType<typeof start>>;

const newOne = ({ list, state }: BroadcastFolder) => ['count.once', '--file', list, '--state', state, ...PACE];
const goOn = ({ state }: BroadcastFolder) => ['--resume', state, ...PACE];

/** Runs the broadcast, or goes on with it, until it is killed at a write or ends. */
async function live({ loopback, keys, folder, killAt }: Scene, at: number) {
  const killer = killAt(at);
  const args = existsSync(folder.state) ? goOn(folder) : newOne(folder);
  const broadcast = startBroadcast(loopback, { timeScale, args, env: { ...keys.env, ...killer.env } });
  const ended = await broadcast.ended;
  return { ended, output: broadcast.output(), writes: killer.writes() };
}

/**
 * Starts a broadcast and has it killed at one write after the other, until it ends. Of the devices, a tenth restarts each
 * time, and has lost its replay window.
 *
 * @param next gives the next write, from 1; undefined for none
 * @returns how often it was killed, what is not true of its end, and how many writes the last process had
 */
async function killAtWrites(scene: Scene, random: SeededRandom, next: () => number | undefined) {
  const { loopback, folder, fleet, watch } = scene;
  const names = loopback.sims.map(({ uniqueName }) => uniqueName);
  const before = watch.datagrams();
  forget(folder);
  await fleet.loseWindows(names);
  for (let kills = 0; kills < MOST_KILLS; ) {
    const { ended, output, writes } = await live(scene, next() ?? 0);
    if (ended === 'SIGKILL') {
      kills++;
      await fleet.loseWindows(names.filter(() => random.integer(10) === 0));
    } else if (ended === 2 && watch.datagrams() === before) {
      // It was killed while it read the SIMs: nothing was sent.
      forget(folder);
    } else {
      const results = resultsIn(output);
      const untruths = untruthsOf(loopback, results, folder.runs);
      // 10: not all are done. A machine with much to do may leave one without an answer.
      if (ended !== 0 && ended !== 10) untruths.push(`it ended with ${ended}: ${output.slice(-500)}`);
      return { kills, writes, untruths, share: shareDone(results) };
    }
  }
  throw new Error('it does not end');
}

function forget({ state, runs }: BroadcastFolder): void {
  for (const end of ['', '-wal', '-shm', '-journal', '.lock']) rmSync(`${state}${end}`, { force: true });
  rmSync(runs, { force: true });
}

/** What has been found out by all broadcasts of one test. */
function createTally() {
  const begun = performance.now();
  const untruths: string[] = [];
  let broadcasts = 0;
  let kills = 0;
  let shares = 0;
  return {
    add(end: Awaited<ReturnType<typeof killAtWrites>>, where: string): void {
      broadcasts++;
      kills += end.kills;
      shares += end.share;
      untruths.push(...end.untruths.map((untruth) => `${where}: ${untruth}`));
    },
    /** Fails unless everything is as it must be. */
    judge(scenes: readonly Scene[], leastKills: number): void {
      const sum = (figure: (scene: Scene) => number) => scenes.reduce((total, scene) => total + figure(scene), 0);
      const seconds = ((performance.now() - begun) / 1000).toFixed(0);
      console.log(
        `${broadcasts} broadcasts, ${kills} kills, ${sum(({ watch }) => watch.datagrams())} datagrams with ` +
          `${sum(({ watch }) => watch.numbers())} numbers, ${sum(({ fleet }) => fleet.denied.stale)} challenges, ` +
          `${sum(({ fleet }) => fleet.denied.replay)} refused as replays, ${seconds} s`,
      );
      expect(untruths, hint).toEqual([]);
      expect(shares / broadcasts, hint).toBeGreaterThanOrEqual(LEAST_DONE);
      for (const { watch, fleet } of scenes) {
        expect(watch.faults(), hint).toEqual([]);
        expect(fleet.denied, hint).toMatchObject({ 'bad-tag': 0, unprotected: 0, malformed: 0 });
      }
      expect(kills, hint).toBeGreaterThan(leastKills);
    },
  };
}

describe.skipIf(needs('cc'))('a protected broadcast that is killed and resumed', () => {
  test(`runs once on each device and is told truly: two SIMs, killed before each ${EACH}. of its writes`, {
    timeout: 900_000,
  }, async () => {
    const tally = createTally();
    const scenes = await Promise.all(Array.from({ length: AT_ONCE }, () => start(2)));
    let at = 1 + (seed % EACH);
    let isWhole = false;
    async function killInTurn(scene: Scene): Promise<void> {
      while (!isWhole) {
        const first = at;
        at += EACH;
        const random = seededRandom(seed + first);
        // Also killed while it is resumed, each second time.
        const plan = [first, ...(random.integer(2) === 0 ? [1 + random.integer(first)] : [])];
        const end = await killAtWrites(scene, random, () => plan.shift());
        tally.add(end, `write ${first}`);
        if (end.kills === 0) isWhole = true;
      }
    }
    await Promise.all(scenes.map(killInTurn));
    tally.judge(scenes, 100 / EACH);
  });

  test(`likewise ${SIMS} SIMs, killed ${KILLS} times at any of the writes`, { timeout: 900_000 }, async () => {
    const tally = createTally();
    const scene = await start(SIMS);
    const random = seededRandom(seed);
    for (let kills = 0; kills < KILLS; ) {
      // As all SIMs are asked at once, none of them ends before most of a process's writes.
      const plan = Array.from({ length: IN_A_ROW }, () => 1 + random.integer(WRITES));
      const end = await killAtWrites(scene, random, () => plan.shift());
      tally.add(end, `after ${kills} kills`);
      kills += Math.max(1, end.kills);
    }
    tally.judge([scene], KILLS / 2);
  });
});
