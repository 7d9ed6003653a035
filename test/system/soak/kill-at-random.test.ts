import { setTimeout as rest } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { systemClock } from '../../../agent/base/moment.js';
import type { JournalEntry } from '../../../agent/command/journal/entry.js';
import { createJournal } from '../../../agent/command/journal/journal.js';
import { openTestDatabase } from '../../agent/command/journal/support.js';
import { CALL_FORMATS, type Call, createCall, type Heard } from '../../support/caller.js';
import { type Device, kill, prepareDevice } from '../../support/device.js';
import { SEED, seededRandom } from '../../support/seed.js';
import { openPeer } from '../../support/udp.js';

const KILLS = 100;
/** How many commands are on their way at once. */
const CALLERS = 8;
/**
 * How many commands end before the agent is killed, at most: a slow machine does fewer of them in a time, and the kills
 * must meet the same share of them there.
 */
const LIFE_COMMANDS = 40;
/** How much longer it lives, at most, so that the kill comes at any moment of a command. */
const MORE_MS = 100;
/** Of one life in so many the end may come while the agent starts, which takes about as long. */
const EARLY_EVERY = 4;
const START_MS = 250;
const RESEND_MS = 30;
/** Between two commands of a caller, at most. */
const PAUSE_MS = 90;
/** How long the handler takes before its effect, and after it. */
const HANDLER_MS = [0, 0, 0, 1, 5] as const;

const CALL_ID_LENGTH = 12;

interface Ended {
  readonly call: Call;
  readonly number: string;
  readonly end: Heard;
}

/** Sends a command again and again until its end is told. */
async function insist(call: Call): Promise<Heard> {
  const timer = setInterval(() => void call.send(), RESEND_MS);
  try {
    return await call.repeat();
  } finally {
    clearInterval(timer);
  }
}

/** Commands one after the other, in all formats, until `signal`; what each came to. @param onEnd called for each */
async function callAway(device: Device, caller: number, signal: AbortSignal, onEnd: () => void): Promise<Ended[]> {
  const random = seededRandom(SEED + caller);
  const peer = await openPeer();
  const ended: Ended[] = [];
  while (!signal.aborted) {
    const number = `${caller}-${ended.length}`;
    const params = { number, ms: random.pick(HANDLER_MS) };
    const call = createCall(peer, device.endpoint, random.pick(CALL_FORMATS), 'act.once', params);
    ended.push({ call, number, end: await insist(call) });
    onEnd();
    await rest(random.integer(PAUSE_MS));
  }
  return ended;
}

/** What repeats of them are told, now that the agent stays. */
async function repeatAll(ended: readonly Ended[]): Promise<Heard[]> {
  const repeats: Heard[] = [];
  for (const { call } of ended) repeats.push(await insist(call));
  return repeats;
}

/** @param commands counts those that have ended */
async function killAway(device: Device, commands: { ended: number }): Promise<void> {
  const random = seededRandom(SEED);
  for (let kills = 0; kills < KILLS; kills++) {
    const early = random.integer(EARLY_EVERY) === 0;
    const agent = early ? device.launch() : await device.start();
    if (!early) {
      const goal = commands.ended + random.integer(LIFE_COMMANDS);
      await expect.poll(() => commands.ended, { interval: 5 }).toBeGreaterThanOrEqual(goal);
    }
    await rest(random.integer(early ? START_MS : MORE_MS));
    await kill(agent);
  }
}

/** What is on the disk of each command, by the id that its caller gave it; a CoAP token has a block's number behind it. */
async function readJournal(folder: string): Promise<Map<string, JournalEntry>> {
  const database = await openTestDatabase(folder);
  const entries = await createJournal(database, systemClock()).list({ limit: Number.MAX_SAFE_INTEGER });
  await database.close();
  const byId = new Map(entries.map((entry) => [String(entry.command.id).slice(0, CALL_ID_LENGTH), entry]));
  expect(byId.size).toBe(entries.length);
  return byId;
}

/** What speaks against a command's end, as its caller was told it. */
function contradictions({ call, number, end }: Ended, runs: number, entry: JournalEntry | undefined, repeat: Heard) {
  const { outcome } = end.ending;
  const found: string[] = [];
  const expectedRuns = { done: [1], interrupted: [0, 1], refused: [0] }[String(outcome)];
  if (expectedRuns?.includes(runs) !== true) found.push(`it ran ${runs} times`);
  if (repeat.ending.outcome !== outcome) found.push(`a repeat was told ${repeat.summary}`);
  if (outcome !== 'refused' && entry?.outcome !== outcome) found.push(`the journal has ${entry?.outcome}`);
  if (outcome !== 'refused' && entry?.runs !== 1) found.push(`the journal has ${entry?.runs} starts`);
  return found.map((what) => `${number} (${call.id}) was told ${end.summary}, but ${what}`);
}

it(`${KILLS} times kill -9 at random moments: nothing runs twice, and every caller receives the true outcome (seed ${SEED})`, async () => {
  const device = await prepareDevice({ journal: { entries: 100_000 } });
  const over = new AbortController();
  const commands = { ended: 0 };
  const onEnd = () => void commands.ended++;
  const callers = Promise.all(
    Array.from({ length: CALLERS }, (_, index) => callAway(device, index, over.signal, onEnd)),
  );
  await killAway(device, commands);
  over.abort();
  const agent = await device.start();
  const ended = await callers;
  const repeats = await Promise.all(ended.map(repeatAll));
  agent.kill('SIGTERM');
  expect(await agent.ended).toBe(0);

  const runs = device.runs();
  const journal = await readJournal(device.folder);
  const all = ended.flat();
  const told = repeats.flat();
  const wrong = all.flatMap((one, index) => {
    const repeat = told[index] ?? one.end;
    return contradictions(one, runs.get(one.number) ?? 0, journal.get(one.call.id), repeat);
  });
  expect(wrong).toEqual([]);
  // Nothing else ran.
  expect([...runs.keys()].filter((number) => !all.some((one) => one.number === number))).toEqual([]);
  const share = (summary: string) => all.filter(({ end }) => end.summary.endsWith(summary)).length / all.length;
  expect(share('done')).toBeGreaterThanOrEqual(0.9);
  // Otherwise the kills have met nothing.
  expect(share('interrupted')).toBeGreaterThan(0);
}, 400_000);
