import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runBroadcast } from '../../../sender/broadcast/resume.js';
import { createBroadcastState } from '../../../sender/broadcast/store/state.js';
import { type BroadcastResult, broadcast } from '../../../sender/index.js';
import { makeFleet } from '../../sender/broadcast/support.js';
import { temporaryFolder } from '../../support/files.js';
import { liveMemory } from '../../support/live-memory.js';

/** `npm run soak` streams a million. */
const IS_LONG = process.env['SOAK_SIMS'] !== undefined;
const SIMS = IS_LONG ? 1_000_000 : 20_000;
/** What V8 keeps or not, as it likes. */
const SLACK_MB = 3;

/** What lives, in megabytes. */
const liveHeap = () => liveMemory().heapUsed / 1e6;

function* names(count: number) {
  for (let number = 0; number < count; number++) yield `sim-${number}`;
}

/** Takes all results; the live heap after a tenth of them and at the end. */
async function consume(results: AsyncIterable<BroadcastResult>, count: number) {
  let early = 0;
  let done = 0;
  for await (const { outcome } of results) {
    if (outcome === 'done') done++;
    if (done === count / 10) early = liveHeap();
  }
  return { done, early, late: liveHeap() };
}

test('a broadcast to a stream of SIMs uses constant memory', { timeout: 1_200_000 }, async () => {
  const fleet = makeFleet();
  fleet.state.keep = false;
  const { done, early, late } = await consume(broadcast(names(SIMS), { name: 'ping' }, fleet), SIMS);
  expect(done).toBe(SIMS);
  expect(late).toBeLessThan(early + SLACK_MB);
  if (IS_LONG)
    console.log(`${SIMS} SIMs streamed: ${early.toFixed(1)} MB live after a tenth, ${late.toFixed(1)} at the end`);
});

test('a broadcast with its outcomes in a file uses constant memory', { timeout: 1_200_000 }, async () => {
  const sims = SIMS / 10;
  const state = await createBroadcastState(join(temporaryFolder(), 'broadcast.db'), {
    ...{ name: 'ping', format: 'coap', get: false, devicePort: 6969 },
  });
  await state.add(names(sims));
  const fleet = makeFleet();
  fleet.state.keep = false;
  const { done, early, late } = await consume(runBroadcast(state, { ...fleet, concurrency: 500 }), sims);
  expect(done).toBe(sims);
  expect(state.counts()).toMatchObject({ done: sims, waiting: 0 });
  expect(late).toBeLessThan(early + SLACK_MB);
  state.close();
});
