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
import { fleetSims, readRuns } from '../../../support/fleet.js';
import { makeKiller } from '../../../support/kill-at.js';
import { startKeyedFleet } from '../../../support/keyed-fleet.js';
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
/** More than one broadcast is killed. */
const MOST_KILLS = 200;

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
      if (ended !== 0) untruths.push(`it ended with ${ended}: ${output.slice(-500)}`);
      return { kills, writes, untruths, share: shareDone(results) };
    }
  }
  throw new Error('it does not end');
}

function forget({ state, runs }: BroadcastFolder): void {
  for (const end of ['', '-wal', '-shm', '-journal', '.lock']) rmSync(`${state}${end}`, { force: true });
  rmSync(runs, { force: true });
}

test('x', { timeout: 600_000 }, async () => {
  for (const count of [2, 200]) {
    const scene = await start(count);
    for (let i = 0; i < 3; i++) {
      const begun = performance.now();
      const r = await killAtWrites(scene, seededRandom(seed), () => undefined);
      console.log(count, r, scene.watch.datagrams(), scene.watch.numbers(), scene.watch.faults(), performance.now() - begun);
    }
    console.log(scene.fleet.denied);
  }
});
