import { randomUUID } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, vi } from 'vitest';
import * as z from 'zod';
import { defineHandler } from '../../agent/handlers/handler.js';
import type { FaultsInput } from '../../loopback/index.js';
import {
  createRequester,
  IpCommandClient,
  pollingReplies,
  type RequestFormat,
  type RequestResult,
} from '../../sender/index.js';
import { temporaryFolder } from './files.js';
import { startTestAgent, startTestLoopback } from './round-trip.js';
import { seededRandom } from './seed.js';
import { randomAddress } from './udp.js';

/** How long a request waits for an answer, before the scale: past the last of its attempts, and what delays that. */
const TIMEOUT_MS = 330_000;
/** What a datagram takes from one socket to the other, with much to spare. */
const ON_THE_WIRE_MS = 200;

/** What is asked for, by how it ends when the radio lets it. */
const COMMANDS = {
  done: { sim: 'gateway-1', name: 'meter.pulse' },
  failed: { sim: 'gateway-1', name: 'meter.jam' },
  refused: { sim: 'gateway-1', name: 'no.such' },
  'not-sent': { sim: 'away', name: 'meter.pulse' },
} as const;
type Wanted = keyof typeof COMMANDS;

export interface SoakSetup {
  readonly requests: number;
  /** How many of them are under way at once. */
  readonly inFlight: number;
  readonly formats: readonly [RequestFormat, ...RequestFormat[]];
  readonly faults: FaultsInput;
  /** What the faults, and the choice of commands and formats, begin with. */
  readonly seed: number;
  readonly timeScale: number;
  /** How long the handlers take, in milliseconds; default: no time. */
  readonly handlerMs?: number;
}

/** A request, how it ended, and what the handlers wrote down of it. */
export interface Finding {
  readonly unit: string;
  readonly wanted: Wanted;
  readonly format: RequestFormat;
  readonly result: RequestResult;
  /** Of each run the word that it answered, which nobody else could know. */
  readonly runs: readonly string[];
}

/**
 * Makes many requests, from the sender through the loopback to an agent whose handlers append a line to a file each
 * time that they run. Most are for a handler that succeeds; some fail, some are refused, some cannot be sent.
 *
 * @returns what became of them when nothing is on its way any more, and how many datagrams the agent got
 */
export async function soak(setup: SoakSetup) {
  const { formats, faults, seed, timeScale } = setup;
  const folder = temporaryFolder();
  const file = join(folder, 'runs');
  const sims = ['gateway-1', 'away'].map((name) => ({ name, address: randomAddress() }));
  const loopback = await startTestLoopback({ faults, seed, sims, maxCommands: 2000 });
  loopback.setSimState('detached', 'away');
  const agent = await startTestAgent(loopback, 'gateway-1', {
    handlers: countingHandlers(file, setup.handlerMs),
    config: { limits: { running: setup.inFlight }, state: { folder: join(folder, 'state') } },
  });
  const { accountSid, authToken, url: baseUrl } = loopback;
  const client = new IpCommandClient({ accountSid, authToken, baseUrl, timeout: '10s' });
  const request = createRequester({ client, replies: pollingReplies(client, { interval: 20 }), timeScale });
  const random = seededRandom(seed);
  const asked: Omit<Finding, 'runs'>[] = [];

  const startedAt = performance.now();
  await inTurns(setup.requests, setup.inFlight, async (index) => {
    const unit = `unit-${index}`;
    const wanted = random.pick(RARELY_OTHERS);
    const format = random.pick(formats);
    const { sim, name } = COMMANDS[wanted];
    const result = await request(sim, name, { unit }, { format, timeout: `${TIMEOUT_MS * timeScale}ms` });
    asked.push({ unit, wanted, format, result });
  });
  const seconds = (performance.now() - startedAt) / 1000;

  // A copy that is still on its way must not run either.
  await vi.waitFor(() => expect(loopback.faults().inFlight).toBe(0), { timeout: 20_000 });
  await delay(ON_THE_WIRE_MS);
  await agent.stop();
  const { received } = agent.status().counters;
  const runs = readRuns(file);
  const findings = asked.map((one): Finding => ({ ...one, runs: runs.get(one.unit) ?? [] }));
  const units = new Set(asked.map(({ unit }) => unit));
  const strays = [...runs.keys()].filter((unit) => !units.has(unit));
  return { findings, strays, radio: loopback.counters, received, seconds };
}

export type Soak = Awaited<ReturnType<typeof soak>>;

const RARELY_OTHERS: readonly [Wanted, ...Wanted[]] = [
  'failed',
  'refused',
  'not-sent',
  ...Array.from({ length: 17 }, () => 'done' as const),
];

/** One that succeeds and one that fails; neither may run twice. */
function countingHandlers(file: string, handlerMs = 0) {
  const params = z.object({ unit: z.string() });
  const count = async ({ unit }: z.output<typeof params>) => {
    const word = randomUUID();
    appendFileSync(file, `${unit} ${word}\n`);
    if (handlerMs > 0) await delay(handlerMs);
    return word;
  };
  return [
    defineHandler({ name: 'meter.pulse', description: 'Counts one', params, run: count }),
    defineHandler({
      name: 'meter.jam',
      description: 'Counts one, and fails',
      params,
      run: async (unit) => {
        throw new Error(await count(unit));
      },
    }),
  ];
}

/** The words of each unit's runs. */
function readRuns(file: string): Map<string, string[]> {
  const runs = new Map<string, string[]>();
  const lines = existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [];
  for (const line of lines) {
    const [unit = '', word = ''] = line.split(' ');
    runs.set(unit, [...(runs.get(unit) ?? []), word]);
  }
  return runs;
}

/** Does a job so many times, so many at once; they do not all begin in the same instant. */
async function inTurns(count: number, atOnce: number, job: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (_: unknown, number: number) => {
    await delay(number * 10);
    while (next < count) await job(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

/** Whether the request ended with what its command came to. */
export const isAnswered = ({ result }: Finding): boolean => result.outcome !== 'no-answer';

/** What is not true of the outcomes, and what ran without having been asked for. */
export const untruths = ({ findings, strays }: Soak): string[] => [
  ...findings.flatMap(untruthOf),
  ...strays.map((unit) => `${unit} ran, and nobody asked for it`),
];

/** A request that ended as it may has none. */
function untruthOf({ unit, wanted, format, result, runs }: Finding): string[] {
  const { outcome, attempts } = result;
  const found = (what: string) => [`${unit} (${format}, ${outcome} after ${attempts} attempts) ${what}`];
  if (runs.length > 1) return found(`ran ${runs.length} times`);
  // It may have run, and it may not: that is what it says.
  if (outcome === 'no-answer') return [];
  const told = outcome === 'done' ? result.result : result.error.message;
  if (outcome !== wanted) return found(`should be ${wanted}: ${told}`);
  const [word] = runs;
  if (outcome === 'done' || outcome === 'failed') {
    return word !== undefined && told === word ? [] : found(`ran as ${word}, and is told ${told}`);
  }
  return word === undefined ? [] : found('ran');
}

/** How many of the findings have each value. */
export function countBy(findings: readonly Finding[], value: (finding: Finding) => string | number) {
  const counts: Record<string, number> = {};
  for (const finding of findings) counts[value(finding)] = (counts[value(finding)] ?? 0) + 1;
  return counts;
}

/** Prints what became of the requests, a line for each outcome. */
export function printSoak({ findings, radio, received, seconds }: Soak, seed: number): void {
  const outcomes = Object.keys(countBy(findings, ({ result }) => result.outcome));
  const rows = outcomes.map((outcome) => {
    const those = findings.filter(({ result }) => result.outcome === outcome);
    const attempts = countBy(those, ({ result }) => `attempts ${result.attempts}`);
    const runs = those.reduce((sum, one) => sum + one.runs.length, 0);
    return { outcome, requests: those.length, runs, ...attempts };
  });
  console.table(rows);
  const { toSim, fromSim, lost, duplicated, reordered } = radio;
  console.log(`${toSim} commands posted, ${received} datagrams at the agent, ${fromSim} replies heard`);
  console.log(`${lost} packets lost, ${duplicated} doubled, ${reordered} held back`);
  const megabytes = Math.round(process.resourceUsage().maxRSS / 1024);
  console.log(`${findings.length} requests in ${seconds.toFixed(1)} s, at most ${megabytes} MB; SOAK_SEED=${seed}`);
}
