import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { createRequester, IpCommandClient, openSecurity, pollingReplies } from '../../../../sender/index.js';
import { temporaryFolder } from '../../../support/files.js';
import { fleetSims, readRuns } from '../../../support/fleet.js';
import { startKeyedFleet } from '../../../support/keyed-fleet.js';
import { makeKiller } from '../../../support/kill-at.js';
import { needs } from '../../../support/needs.js';
import { watchNonces } from '../../../support/nonce-watch.js';
import { makeOperatorKeys } from '../../../support/operator-keys.js';
import { type Answer, answersIn, buildRequests, startRequests } from '../../../support/requests.js';
import { startTestLoopback } from '../../../support/round-trip.js';
import { SEED, seededRandom } from '../../../support/seed.js';

/** More than a request has writes. */
const MOST_WRITES = 250;
/** How many senders run at once: they also share the file with the keys. */
const AT_ONCE = 2;
const timeScale = 0.02;
const LEAST_DONE = 0.9;
/** Its parameters take two datagrams. */
const TWO_BLOCKS = 'x'.repeat(700);

interface Way {
  /** Whether the device has lost its replay window when the request comes. */
  readonly isChallenged: boolean;
  readonly text?: string;
  /** Each how many-th of its writes is tried; default: each. */
  readonly each?: number;
}

let removeProgram = () => {};
beforeAll(async () => {
  removeProgram = await buildRequests();
});
afterAll(() => removeProgram());

async function start() {
  const loopback = await startTestLoopback({ sims: fleetSims(MOST_WRITES) });
  const keys = makeOperatorKeys(loopback.sims);
  const runs = join(temporaryFolder(), 'runs');
  const watch = watchNonces(loopback);
  const fleet = await startKeyedFleet(loopback, keys, runs);
  const env = { ...keys.env, TIME_SCALE: `${timeScale}`, COMMAND: 'count.once' };
  const { accountSid, authToken, url: baseUrl } = loopback;
  const client = new IpCommandClient({ accountSid, authToken, baseUrl });
  const security = openSecurity({ env: keys.env });
  onTestFinished(() => security.close());
  const request = createRequester({ client, security, replies: pollingReplies(client, { interval: 20 }), timeScale });
  const ping = async (sim: string) => expect(await request(sim, 'ping')).toMatchObject({ outcome: 'done' });
  return { loopback, runs, watch, fleet, env, ping, killAt: await makeKiller() };
}

type Scene = Awaited<ReturnType<typeof start>>;

/** What is not true of a result: that of a command that ran is `done` with its reply, or on a busy machine `no-answer`. */
function untruthOf({ runs }: Scene, sim: string, answer: Answer | undefined): string | undefined {
  const words = readRuns(runs).get(sim) ?? [];
  const isDone = words.length === 1 && answer?.outcome === 'done' && answer.result === words[0] && answer.authentic;
  const isTrue = isDone || (words.length <= 1 && answer?.outcome === 'no-answer');
  return isTrue ? undefined : `${sim} ran as [${words}], and is told ${JSON.stringify(answer)}`;
}

/** Has a request killed at a write, perhaps goes on with it to another one, and then to its end. */
async function liveKilled(scene: Scene, { isChallenged, text }: Way, at: number) {
  const { loopback, env, fleet, killAt } = scene;
  const sim = loopback.sims[at - 1]?.uniqueName ?? '';
  const random = seededRandom(SEED + at);
  const store = join(temporaryFolder(), 'identity');
  const run = (extra: NodeJS.ProcessEnv) => startRequests(loopback, { ...env, SIMS: sim, ...extra });
  if (!isChallenged) await scene.ping(sim);

  const life = { ...env, STORE: store, TEXT: text };
  let kills = 0;
  let last = run({ ...life, ...killAt(at).env });
  for (const again of [random.integer(2) === 0 ? at : 1 + random.integer(at), 0]) {
    if ((await last.ended) !== 'SIGKILL') break;
    kills++;
    // One in blocks is sent anew as a whole when any of them is challenged.
    if (isChallenged && (text !== undefined || random.integer(3) === 0)) await fleet.loseWindows([sim]);
    last = run({ ...life, ...killAt(again).env });
  }
  const code = await last.ended;
  const [answer] = answersIn(last.output());
  const untruth = code === 0 ? untruthOf(scene, sim, answer) : `it ended with ${code}: ${last.output()}`;
  return { kills, isDone: answer?.outcome === 'done', untruth: untruth && `killed at write ${at}: ${untruth}` };
}

async function killAtEach(way: Way) {
  const begun = performance.now();
  const scene = await start();
  const untruths: string[] = [];
  let kills = 0;
  let [lives, done] = [0, 0];
  let next = 1;
  let isWhole = false;
  async function killInTurn(): Promise<void> {
    while (!isWhole && next <= MOST_WRITES) {
      const at = next;
      next += way.each ?? 1;
      const life = await liveKilled(scene, way, at);
      lives++;
      kills += life.kills;
      if (life.isDone) done++;
      if (life.kills === 0 && life.untruth === undefined) isWhole = true;
      if (untruths.length > 10) break;
      if (life.untruth !== undefined) untruths.push(life.untruth);
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, killInTurn));
  const { watch, fleet } = scene;
  const seconds = ((performance.now() - begun) / 1000).toFixed(0);
  console.log(
    `${lives} lives, ${kills} kills, ${watch.datagrams()} datagrams with ${watch.numbers()} numbers, ` +
      `${fleet.denied.stale} challenges, ${seconds} s`,
  );
  expect(untruths).toEqual([]);
  expect(done / lives).toBeGreaterThanOrEqual(LEAST_DONE);
  expect(watch.faults()).toEqual([]);
  expect(fleet.denied).toMatchObject({ replay: 0, 'bad-tag': 0, unprotected: 0 });
  expect(isWhole).toBe(true);
  return { kills, challenges: fleet.denied.stale };
}

describe.skipIf(needs('cc'))('a protected request that is killed before each of its writes, and made again', () => {
  test('runs once, uses no number twice, and is told truly', { timeout: 300_000 }, async () => {
    const { kills, challenges } = await killAtEach({ isChallenged: false });
    expect(kills).toBeGreaterThan(20);
    expect(challenges).toBeGreaterThan(0);
  });

  test('likewise where the device challenges it', { timeout: 300_000 }, async () => {
    const { kills, challenges } = await killAtEach({ isChallenged: true });
    expect(kills).toBeGreaterThan(30);
    expect(challenges).toBeGreaterThan(30);
  });

  test('likewise where its parameters take two datagrams, before each second of its writes', {
    timeout: 300_000,
  }, async () => {
    const { kills } = await killAtEach({ isChallenged: true, text: TWO_BLOCKS, each: 2 });
    expect(kills).toBeGreaterThan(30);
  });
});
