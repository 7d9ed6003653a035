import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { broadcastFolder, buildBroadcast, startBroadcast } from '../../../support/broadcast.js';
import { temporaryFolder } from '../../../support/files.js';
import { fleetSims } from '../../../support/fleet.js';
import { watchNonces } from '../../../support/nonce-watch.js';
import { makeOperatorKeys } from '../../../support/operator-keys.js';
import { answersIn, buildRequests, startRequests } from '../../../support/requests.js';
import { startTestLoopback } from '../../../support/round-trip.js';

let removePrograms = () => {};
beforeAll(async () => {
  const removers = await Promise.all([buildRequests(), buildBroadcast()]);
  removePrograms = () => {
    for (const remove of removers) remove();
  };
});
afterAll(() => removePrograms());

type Env = Readonly<Record<'SUPERSIM_KEYS' | 'SUPERSIM_MACHINE_ID', string>>;

function atAnotherPath(env: Env): Env {
  const path = join(temporaryFolder(), 'profile.keys');
  copyFileSync(env.SUPERSIM_KEYS, path);
  return { ...env, SUPERSIM_KEYS: path };
}

const onAnotherMachine = (env: Env): Env => ({ ...env, SUPERSIM_MACHINE_ID: 'machine of another test' });

test.for([
  ['on another machine', onAnotherMachine],
  ['at another path', atAnotherPath],
] as const)('with a copy of the keys %s nothing is sent, and the reason is told', async ([, copy]) => {
  const loopback = await startTestLoopback({ sims: fleetSims(3) });
  const watch = watchNonces(loopback);
  const keys = makeOperatorKeys(loopback.sims);
  const env = copy(keys.env);
  const folder = await broadcastFolder(loopback);

  const sims = loopback.sims.map(({ uniqueName }) => uniqueName).join(',');
  const requests = startRequests(loopback, { ...env, TIME_SCALE: '0.02', COMMAND: 'count.once', SIMS: sims });
  const args = ['count.once', '--file', folder.list, '--state', folder.state];
  const broadcast = startBroadcast(loopback, { timeScale: 0.02, args, env });
  await requests.ended;
  expect(await broadcast.ended).toBe(2);

  const [answer] = answersIn(requests.output());
  expect(answer).toMatchObject({ outcome: 'not-sent', authentic: false, error: { code: 'keys-copied' } });
  expect(broadcast.output()).toMatch(/^error keys-copied: /m);
  expect(existsSync(folder.state)).toBe(false);
  expect(watch.datagrams()).toBe(0);
});
