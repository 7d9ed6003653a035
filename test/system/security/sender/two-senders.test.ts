import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { FaultsInput } from '../../../../loopback/index.js';
import { openSecurity } from '../../../../sender/index.js';
import { broadcastFolder, buildBroadcast, resultsIn, startBroadcast, untruthsOf } from '../../../support/broadcast.js';
import { buildProgram, builtProgram } from '../../../support/built-program.js';
import { temporaryFolder } from '../../../support/files.js';
import { fleetSims, readRuns } from '../../../support/fleet.js';
import { startKeyedFleet } from '../../../support/keyed-fleet.js';
import { watchNonces } from '../../../support/nonce-watch.js';
import { makeOperatorKeys } from '../../../support/operator-keys.js';
import { startProcess } from '../../../support/process.js';
import { answersIn, buildRequests, startRequests } from '../../../support/requests.js';
import { startTestLoopback } from '../../../support/round-trip.js';

/** So that nothing is repeated in general: nothing is lost. */
const timeScale = 0.2;
/** Nothing is lost, and datagrams overtake each other. */
const OVERTAKING: FaultsInput = { reorder: 0.2, reorderDelay: '100ms', jitter: '30ms' };
const NOT_DENIED = { replay: 0, 'bad-tag': 0, unprotected: 0, numbers: 0 };

let removePrograms = () => {};
beforeAll(async () => {
  const removers = await Promise.all([buildRequests(), buildBroadcast(), buildProgram('draw')]);
  removePrograms = () => {
    for (const remove of removers) remove();
  };
});
afterAll(() => removePrograms());

async function start(count: number, faults: FaultsInput = {}) {
  const loopback = await startTestLoopback({ sims: fleetSims(count), seed: 1, faults });
  const keys = makeOperatorKeys(loopback.sims);
  const runs = join(temporaryFolder(), 'runs');
  const watch = watchNonces(loopback);
  const fleet = await startKeyedFleet(loopback, keys, runs);
  const names = loopback.sims.map(({ uniqueName }) => uniqueName);
  const env = { ...keys.env, TIME_SCALE: `${timeScale}`, COMMAND: 'count.once', SIMS: names.join(','), TIMEOUT: '60s' };
  return { loopback, keys, runs, watch, fleet, env, names };
}

test('three processes that draw numbers as fast as they can draw none twice', { timeout: 60_000 }, async () => {
  const keys = makeOperatorKeys([]);
  const security = openSecurity({ env: keys.env });
  await security.draw();
  security.close();
  const drawing = [0, 1, 2].map(() => startProcess(process.execPath, [builtProgram('draw')], keys.env));
  for (const one of drawing) expect(await one.ended, one.output()).toBe(0);
  const drawn = drawing.map((one) => one.output().split('\n').map(Number));
  for (const numbers of drawn) expect(numbers).toEqual(numbers.toSorted((one, other) => one - other));
  expect(new Set(drawn.flat()).size).toBe(900);
});

describe.for([
  ['in order', {}],
  ['overtaking each other', OVERTAKING],
] as const)('two processes with one file of keys, datagrams %s', ([, faults]) => {
  test('two shells make 100 requests each to five SIMs, and all are done', { timeout: 200_000 }, async () => {
    const { loopback, runs, watch, fleet, env, names } = await start(5, faults);
    const begun = performance.now();
    const shells = [0, 1].map(() => startRequests(loopback, { ...env, COUNT: '100' }));
    for (const shell of shells) expect(await shell.ended, shell.output()).toBe(0);
    const answers = shells.flatMap((shell) => answersIn(shell.output()));
    console.log(`${watch.datagrams()} datagrams, ${watch.numbers()} numbers, ${performance.now() - begun} ms`);

    expect(watch.faults()).toEqual([]);
    expect(answers.filter(({ outcome, authentic }) => outcome !== 'done' || !authentic)).toEqual([]);
    for (const name of names) {
      const told = answers.filter(({ sim }) => sim === name).map(({ result }) => result);
      expect(told.toSorted()).toEqual(readRuns(runs).get(name)?.toSorted());
    }
    expect(answers).toHaveLength(200);
    expect(fleet.denied).toMatchObject(NOT_DENIED);
  });

  test('a broadcast to 200 SIMs and requests to the same ones are all done', { timeout: 200_000 }, async () => {
    const { loopback, keys, runs, watch, fleet, env } = await start(200, faults);
    const folder = await broadcastFolder(loopback);
    const begun = performance.now();
    const requests = startRequests(loopback, { ...env, COMMAND: 'ping', COUNT: '200' });
    const args = [
      ...['count.once', '--file', folder.list, '--state', folder.state],
      ...['--interval', '200ms', '--rate', '50', '--timeout', '60s'],
    ];
    const broadcast = startBroadcast(loopback, { timeScale, args, env: keys.env });
    expect(await broadcast.ended, broadcast.output().slice(-1000)).toBe(0);
    const meanwhile = answersIn(requests.output()).length;
    expect(await requests.ended, requests.output()).toBe(0);
    const answers = answersIn(requests.output());
    console.log(
      `${meanwhile} requests during the broadcast; ${watch.datagrams()} datagrams, ${watch.numbers()} numbers, ` +
        `${performance.now() - begun} ms`,
    );

    expect(meanwhile).toBeGreaterThan(10);
    expect(watch.faults()).toEqual([]);
    expect(untruthsOf(loopback, resultsIn(broadcast.output()), runs)).toEqual([]);
    expect(answers.filter(({ outcome, authentic }) => outcome !== 'done' || !authentic)).toEqual([]);
    expect(answers).toHaveLength(200);
    expect(fleet.denied).toMatchObject(NOT_DENIED);
  });
});
