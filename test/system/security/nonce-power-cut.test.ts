import { mkdirSync, rmSync } from 'node:fs';
import { setTimeout as rest } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { makeFaultyDisk } from '../../support/faulty-disk.js';
import { temporaryFolder } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { FATES, powerCuts } from '../../support/power-cut.js';
import { SEED, type SeededRandom, seededRandom } from '../../support/seed.js';
import { type GuardedDevice, KIDS, prepareGuardedDevice, twice } from './guarded-device.js';
import { type Attacker, type Caller, openAttacker, openCaller, type SentRequest } from './old-requests.js';

/** Devices side by side, and how often each loses its power: with the damages of the other file, 300 together. */
const DEVICES = 3;
const CUTS = 16;
/** How the agent's lives before the cut end. */
const LIVES = ['SIGTERM', 'SIGKILL', 'SIGTERM'] as const;
const EXCHANGES = 5;
/** Longer than the numbers of a reservation last, most of the time. */
const PAUSE_MS = 120;
const WAIT_MS = 10_000;
const HANDLERS = ['look', 'set', 'act'] as const;

interface Scene {
  readonly device: GuardedDevice;
  readonly callers: readonly Caller[];
  readonly attacker: Attacker;
  readonly sent: readonly SentRequest[];
  readonly random: SeededRandom;
}

async function prepareScene(random: SeededRandom): Promise<Scene> {
  const device = prepareGuardedDevice();
  const sent: SentRequest[] = [];
  const callers = await Promise.all(KIDS.map((kid) => openCaller(device.endpoint, kid, sent)));
  return { device, callers, attacker: await openAttacker(device.endpoint, random), sent, random };
}

/** Lets the agent live on a disk that writes down all. @returns the power cuts that could have been */
async function liveOnDisk({ device, callers, random }: Scene) {
  mkdirSync(device.state, { mode: 0o700 });
  const disk = await makeFaultyDisk(device.state, temporaryFolder());
  for (const signal of LIVES) {
    const agent = await device.start(true, disk.env);
    for (let count = 0; count < EXCHANGES; count++) {
      for (const caller of callers) await caller.exchange({ handler: random.pick(HANDLERS) }, WAIT_MS);
      await rest(random.integer(PAUSE_MS));
      for (const caller of callers) await caller.fire({ handler: random.pick(HANDLERS), ms: random.integer(20) });
    }
    agent.kill(signal);
    await agent.ended;
  }
  return powerCuts(disk.log);
}

/** What stands behind a word in the marks. */
const marked = (marks: readonly string[], word: string): string[] =>
  marks.filter((mark) => mark.startsWith(`${word} `)).map((mark) => mark.slice(word.length + 1));

/** Starts the agent on what a power cut has left, without a synchronised clock. @returns what it has encrypted */
async function startAfterCut({ device, callers, attacker, sent }: Scene, mustAnswer: boolean, what: string) {
  const before = device.runs();
  const agent = await device.start(false);
  await attacker.replay(sent);
  for (const caller of callers) {
    const code = await caller.exchange({ handler: 'set' }, mustAnswer ? WAIT_MS : 300);
    if (mustAnswer) expect(code, what).toBe('2.04');
  }
  await attacker.replay(sent);
  await callers[0]?.exchange({ handler: 'look' }, mustAnswer ? WAIT_MS : 300);
  agent.kill('SIGKILL');
  await agent.ended;
  const runs = [...device.runs()].flatMap(([number, count]) =>
    Array.from({ length: count - (before.get(number) ?? 0) }, () => String(number)),
  );
  return { nonces: device.lastNonces(), runs };
}

async function cutPower(index: number) {
  const scene = await prepareScene(seededRandom(SEED + index));
  const { device, random } = scene;
  const { records, marks, build } = await liveOnDisk(scene);
  const all = marked(marks(), 'nonce');
  expect(twice(all)).toEqual([]);
  const earlier: number[] = [];
  let later = 0;
  for (let cut = 0; cut < CUTS; cut++) {
    // Spread over the whole log.
    const from = Math.floor((cut * records.length) / CUTS);
    const at = from + 1 + random.integer(Math.floor(records.length / CUTS));
    const fate = FATES[(cut + index) % FATES.length] ?? 'some';
    const what = `device ${index}, power cut ${cut} before record ${at} of ${records.length}, of which ${fate} stays`;
    const used = marked(marks(at), 'nonce');
    rmSync(device.state, { recursive: true });
    build(at, fate, random, device.state);
    // What was encrypted had its number reserved on the disk.
    const { nonces, runs } = await startAfterCut(scene, used.length > 0, what);
    expect(twice([...used, ...nonces]), `${what}: a nonce was used again`).toEqual([]);
    expect(twice([...marked(marks(at), 'ran'), ...runs]), `${what}: an old request was accepted`).toEqual([]);
    earlier.push(used.length);
    later += nonces.length;
  }
  return { all: all.length, earlier, later, replays: scene.attacker.replays };
}

describe.skipIf(needs('cc'))('a power cut', () => {
  it(`at any of ${DEVICES * CUTS} moments lets no nonce be used twice, and nothing old be accepted (seed ${SEED})`, async () => {
    const devices = await Promise.all(Array.from({ length: DEVICES }, (_, index) => cutPower(index)));
    for (const { all, earlier, later, replays } of devices) {
      console.log(`encryptions before each cut: ${earlier.join(', ')}; after all: ${later}; ${replays} old datagrams`);
      // The agent has encrypted before and after the cuts.
      expect(Math.min(...earlier)).toBeLessThan(all / 4);
      expect(Math.max(...earlier)).toBeGreaterThan((all * 3) / 4);
      expect(later).toBeGreaterThan(CUTS);
    }
  }, 200_000);
});
