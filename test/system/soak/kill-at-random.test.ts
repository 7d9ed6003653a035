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
/** How long the agent lives once it is up, at most: it reads its journal in the beginning. */
const LIFE_MS = 900;
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

/** Commands one after the other, in all formats, until `signal`; what each came to. */
async function callAway(device: Device, caller: number, signal: AbortSignal): Promise<Ended[]> {
  const random = seededRandom(SEED + caller);
  const peer = await openPeer();
  const ended: Ended[] = [];
  while (!signal.aborted) {
    const number = `${caller}-${ended.length}`;
    const params = { number, ms: random.pick(HANDLER_MS) };
    const call = createCall(peer, device.endpoint, random.pick(CALL_FORMATS), 'act.once', params);
    ended.push({ call, number, end: await insist(call) });
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

async function killAway(device: Device): Promise<void> {
  const random = seededRandom(SEED);
  for (let kills = 0; kills < KILLS; kills++) {
    const early = random.integer(EARLY_EVERY) === 0;
    const agent = early ? device.launch() : await device.start();
    await rest(random.integer(early ? START_MS : LIFE_MS));
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
  const callers = Promise.all(Array.from({ length: CALLERS }, (_, index) => callAway(device, index, over.signal)));
  await killAway(device);
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
  const count = (summary: string) => all.filter(({ end }) => end.summary.endsWith(summary)).length;
  // How many depends on how fast the machine starts an agent; a kill interrupts at most one command of each caller.
  expect(count('done')).toBeGreaterThan(all.length / 2);
  expect(count('interrupted')).toBeLessThanOrEqual(KILLS * CALLERS);
  // Otherwise the kills have met nothing.
  expect(count('interrupted')).toBeGreaterThan(0);
}, 400_000);
