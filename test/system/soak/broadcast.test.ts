import { randomInt } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import Libsql from 'libsql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';
import type { LoopbackOptions } from '../../../loopback/index.js';
import {
  type BroadcastFolder,
  broadcastFolder,
  buildBroadcast,
  peakMemory,
  resultsIn,
  shareDone,
  startBroadcast,
  untruthsOf,
} from '../../support/broadcast.js';
import { fleetSims, readRuns, startFleet } from '../../support/fleet.js';
import { startTestLoopback } from '../../support/round-trip.js';
import { SEED, seededRandom } from '../../support/seed.js';

/** `npm run soak` sets how many, and takes another seed each time. */
const { SOAK_SIMS = '2000', SOAK_SEED } = process.env;
const IS_LONG = process.env['SOAK_SIMS'] !== undefined;
const count = Number(SOAK_SIMS);
const seed = Number(SOAK_SEED ?? (IS_LONG ? randomInt(2 ** 32) : SEED));
const hint = `SOAK_SEED=${seed}`;

/** An acknowledgement time-out is 0.6 s here. */
const timeScale = 0.02;
const MAX_MEMORY_MIB = 256;

/** A twentieth of all packets is lost each way, and the account may make 30 requests at once. */
const BAD: LoopbackOptions = {
  faults: { loss: 0.05 },
  apiFaults: { atOnce: 30, busy: 0.05, answerLoss: 0.01, delay: '2ms', jitter: '10ms' },
};

let removeProgram = () => {};
beforeAll(async () => {
  removeProgram = await buildBroadcast();
});
afterAll(() => removeProgram());

async function start(sims: number, options: LoopbackOptions = {}) {
  const loopback = await startTestLoopback({ sims: fleetSims(sims), seed, ...options });
  const folder = await broadcastFolder(loopback);
  await startFleet(loopback, folder.runs);
  return { loopback, folder };
}

/** The time-out is 330 s before the scale: past the last of a request's attempts. */
const PACE = ['--interval', '200ms', '--concurrency', '300', '--timeout', `${Math.ceil(330 * timeScale)}s`];
const newOne = ({ list, state }: BroadcastFolder, ...more: string[]) => [
  ...['count.once', '--file', list, '--state', state, ...PACE],
  ...more,
];
const goOn = ({ state }: BroadcastFolder) => ['--resume', state, ...PACE];

const rowsSchema = z.tuple([z.object({ begun: z.number(), ended: z.number(), total: z.number() })]);

/** How many SIMs a broadcast has begun with and ended, by its file; undefined until all SIMs are in it. */
function progressOf({ state }: BroadcastFolder): { begun: number; ended: number } | undefined {
  if (!existsSync(state)) return undefined;
  const database = new Libsql(state, { readonly: true });
  try {
    const sql = 'SELECT count(started_at) AS begun, count(outcome) AS ended, total FROM sims, broadcast';
    return rowsSchema.parse(database.prepare(sql).all([]))[0];
  } catch {
    return undefined;
  } finally {
    database.close();
  }
}

async function until(reached: () => boolean): Promise<void> {
  for (let wait = 0; !reached(); wait++) {
    if (wait > 12_000) throw new Error('it does not come to that');
    await delay(10);
  }
}

test('a broadcast over losses and refusals reports one true outcome for each SIM in bounded memory', {
  timeout: 600_000,
}, async () => {
  const { loopback, folder } = await start(count, BAD);
  const begun = performance.now();
  const broadcast = startBroadcast(loopback, { timeScale, args: newOne(folder) });
  const memory = await peakMemory(broadcast);
  const seconds = (performance.now() - begun) / 1000;
  const results = resultsIn(broadcast.output());
  expect(untruthsOf(loopback, results, folder.runs), hint).toEqual([]);
  expect(shareDone(results), hint).toBeGreaterThanOrEqual(0.99);
  expect(await broadcast.ended, hint).toBe(shareDone(results) === 1 ? 0 : 10);
  expect(memory).toBeLessThanOrEqual(MAX_MEMORY_MIB);
  const { apiBusy, apiAnswersLost, lost } = loopback.counters;
  for (const hits of [apiBusy, apiAnswersLost, lost]) expect(hits, hint).toBeGreaterThan(0);
  if (!IS_LONG) return;
  console.log(
    `${count} SIMs in ${seconds.toFixed(1)} s, ${(count / seconds).toFixed(0)}/s, ${memory.toFixed(0)} MiB at most`,
  );
  console.log(`${apiBusy} × 429, ${apiAnswersLost} answers and ${lost} packets lost; ${hint}`);
});

test('a broadcast that is killed ten times and resumed is complete and true', { timeout: 600_000 }, async () => {
  const sims = IS_LONG ? count : 600;
  const { loopback, folder } = await start(sims, BAD);
  const random = seededRandom(seed);
  for (let kill = 0; kill < 10; kill++) {
    if (existsSync(folder.state) && progressOf(folder) === undefined) {
      // It was killed while it read the SIMs: nothing was sent.
      expect(await startBroadcast(loopback, { timeScale, args: goOn(folder) }).ended, hint).toBe(2);
      expect(readRuns(folder.runs).size, hint).toBe(0);
      rmSync(folder.state);
    }
    const args = existsSync(folder.state) ? goOn(folder) : newOne(folder);
    const broadcast = startBroadcast(loopback, { timeScale, args });
    // Each comes a tenth of the way at least, so that the last does too.
    const goal = Math.floor((sims * kill) / 11);
    await until(() => (kill === 0 ? existsSync(folder.state) : (progressOf(folder)?.ended ?? 0) >= goal));
    await delay(random.integer(150));
    broadcast.kill('SIGKILL');
    expect(await broadcast.ended, hint).toBe('SIGKILL');
  }
  const { begun = 0, ended = 0 } = progressOf(folder) ?? {};
  expect(ended, hint).toBeLessThan(sims);
  const last = startBroadcast(loopback, { timeScale, args: goOn(folder) });
  const code = await last.ended;
  const results = resultsIn(last.output());
  expect(untruthsOf(loopback, results, folder.runs), hint).toEqual([]);
  expect(shareDone(results), hint).toBeGreaterThanOrEqual(0.99);
  expect(code, hint).toBe(shareDone(results) === 1 ? 0 : 10);
  if (IS_LONG)
    console.log(`killed 10 times, at last with ${ended} of ${sims} SIMs ended and ${begun - ended} begun with`);
});

test('a broadcast that is ended by Ctrl-C exits with 130, marks no SIM as failed, and can be resumed', {
  timeout: 60_000,
}, async () => {
  const { loopback, folder } = await start(300, { faults: { up: { loss: 0.5 } } });
  const broadcast = startBroadcast(loopback, { timeScale, args: newOne(folder) });
  await until(() => (progressOf(folder)?.ended ?? 0) > 50);
  broadcast.kill('SIGINT');
  expect(await broadcast.ended).toBe(130);
  const results = resultsIn(broadcast.output());
  expect(results.length).toBeLessThan(300);
  expect(results.every(({ outcome }) => outcome === 'done')).toBe(true);
  expect(broadcast.output()).toMatch(/^\d+ SIMs are left; resume with: supersim broadcast --resume .*broadcast\.db$/m);

  loopback.setFaults({});
  const again = startBroadcast(loopback, { timeScale, args: goOn(folder) });
  expect(await again.ended).toBe(0);
  expect(untruthsOf(loopback, resultsIn(again.output()), folder.runs)).toEqual([]);
});

describe('the access token', () => {
  test('is renewed without an error when it expires during a broadcast, several times', {
    timeout: 60_000,
  }, async () => {
    const { loopback, folder } = await start(400, { tokenLife: '1s', apiFaults: { delay: '20ms' } });
    const args = newOne(folder, '--rate', '100');
    const broadcast = startBroadcast(loopback, { timeScale, args });
    expect(await broadcast.ended).toBe(0);
    expect(untruthsOf(loopback, resultsIn(broadcast.output()), folder.runs)).toEqual([]);
    expect(broadcast.output()).not.toMatch(/warning/);
    expect(loopback.counters.tokens).toBeGreaterThanOrEqual(3);
  });

  test('is renewed without an error when it is revoked early', { timeout: 60_000 }, async () => {
    const { loopback, folder } = await start(300);
    const broadcast = startBroadcast(loopback, { timeScale, args: newOne(folder, '--rate', '200') });
    await until(() => (progressOf(folder)?.ended ?? 0) > 100);
    loopback.revokeTokens();
    expect(await broadcast.ended).toBe(0);
    expect(untruthsOf(loopback, resultsIn(broadcast.output()), folder.runs)).toEqual([]);
  });

  test('cannot be renewed: the broadcast stops with the reason, and is resumed with the new secret', {
    timeout: 60_000,
  }, async () => {
    const { loopback, folder } = await start(300);
    const broadcast = startBroadcast(loopback, { timeScale, args: newOne(folder, '--rate', '200') });
    await until(() => (progressOf(folder)?.ended ?? 0) > 100);
    loopback.revokeTokens('another');
    expect(await broadcast.ended).toBe(3);
    expect(broadcast.output()).toMatch(/^error api-error: HTTP 401/m);
    const ended = resultsIn(broadcast.output());
    expect(ended.length).toBeLessThan(300);
    expect(ended.every(({ outcome }) => outcome === 'done')).toBe(true);

    // With the old secret nothing happens to anybody.
    const refused = startBroadcast(loopback, { timeScale, args: goOn(folder) });
    expect(await refused.ended).toBe(3);
    expect(progressOf(folder)?.ended).toBe(ended.length);

    const again = startBroadcast(loopback, { timeScale, args: goOn(folder), clientSecret: 'another' });
    expect(await again.ended).toBe(0);
    expect(untruthsOf(loopback, resultsIn(again.output()), folder.runs)).toEqual([]);
  });
});
