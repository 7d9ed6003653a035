import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as rest } from 'node:timers/promises';
import { expect, test } from 'vitest';
import * as z from 'zod';
import type { ConfigInput } from '../../../agent/config/schema.js';
import { environment } from '../../agent/cli/support.js';
import { temporaryFolder, writeFile } from '../../support/files.js';
import { LOAD_HANDLERS, startMixedLoad } from '../../support/mixed-load.js';
import { program, startProcess } from '../../support/process.js';
import { openPeer, randomAddress } from '../../support/udp.js';

const { SOAK_MINUTES } = process.env;
const IS_LONG = SOAK_MINUTES !== undefined;
/** `npm run soak` takes 20: by then each table has been full for a while. */
const MINUTES = Number(SOAK_MINUTES ?? 1);
const MINUTE_MS = 60_000;
const SECOND_MS = 1000;
const MEBIBYTE = 1_048_576;
/** From this minute on nothing grows. */
const FULL_AT = 13;
const MOST_GROWTH = 1.1;
const MOST_MIB = 110;
/** The share of the commands that ran, and of the replies that came: a busy machine may lose some. */
const MOST = 0.99;
const WAIT = { timeout: 30_000 };

/** What the agent uses its memory for, in bytes. */
const splitSchema = z.object({
  heapTotal: z.number(),
  heapUsed: z.number(),
  external: z.number(),
  arrayBuffers: z.number(),
  runs: z.number(),
});
const answerSchema = z.object({ result: splitSchema });

interface Minute extends z.output<typeof splitSchema> {
  readonly minute: number;
  /** The most of the minute, looked at each second; in MiB. */
  readonly rssAnon: number;
}

/**
 * The agent as the unit runs it: by the first line of its file, with default limits, its state on a disk, its log in a
 * pipe.
 */
async function startShippedAgent() {
  const folder = temporaryFolder();
  const endpoint = { address: randomAddress(), port: 6969 };
  const operator = await openPeer();
  const config: ConfigInput = {
    listen: { address: endpoint.address },
    gateway: operator.endpoint,
    allow: ['127.0.0.0/8'],
    state: { folder },
    control: { socket: join(folder, 'control.sock') },
    modules: [writeFile(folder, 'handlers.mjs', LOAD_HANDLERS)],
  };
  const file = writeFile(folder, 'config.yaml', JSON.stringify(config)); // JSON is YAML
  const agent = startProcess(program('supersim-agent'), ['run', '--config', file], environment());
  await agent.line(/"agent started"/);
  const split = async () => {
    const answer = await operator.ask('{"id":1,"method":"split"}', endpoint);
    return answerSchema.parse(JSON.parse(answer.toString())).result;
  };
  return { pid: agent.pid, endpoint, split };
}

const rssAnonOf = (pid: number) =>
  Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

/** Looks at the agent for a minute. */
async function watch({ pid, split }: Awaited<ReturnType<typeof startShippedAgent>>, until: number) {
  let rssAnon = 0;
  while (performance.now() < until) {
    await rest(Math.min(SECOND_MS, Math.max(0, until - performance.now())));
    rssAnon = Math.max(rssAnon, rssAnonOf(pid));
  }
  return { rssAnon, ...(await split()) };
}

function print({ minute, rssAnon, heapTotal, heapUsed, external, arrayBuffers }: Minute): void {
  const others = [heapTotal, heapUsed, external, arrayBuffers].map((bytes) => (bytes / MEBIBYTE).toFixed(1));
  console.log(`| ${[minute, rssAnon.toFixed(1), ...others].join(' | ')} |`);
}

/** Compares a figure with its bound. */
function atMost(what: string, figure: number, bound: number) {
  const isShort = figure > bound;
  return { isShort, line: `${what}: ${figure.toFixed(2)} (≤ ${bound}) ${isShort ? 'SHORT' : 'pass'}` };
}

/** What is out of its bound. */
function judge(minutes: readonly Minute[]): string[] {
  const findings = [atMost('RssAnon in MiB', Math.max(...minutes.map(({ rssAnon }) => rssAnon)), MOST_MIB)];
  const [full, last] = [minutes[FULL_AT - 1], minutes.at(-1)];
  if (full !== undefined && last !== undefined) {
    findings.push(atMost(`minute ${MINUTES} against minute ${FULL_AT}`, last.rssAnon / full.rssAnon, MOST_GROWTH));
  }
  if (IS_LONG) for (const { line } of findings) console.log(line);
  return findings.filter(({ isShort }) => isShort).map(({ line }) => line);
}

test('over minutes of mixed commands the memory of the agent stays within its bound, and stops growing', {
  timeout: (MINUTES + 2) * MINUTE_MS,
}, async () => {
  const agent = await startShippedAgent();
  if (IS_LONG) {
    console.log('| minute | RssAnon MiB | heapTotal | heapUsed | external | arrayBuffers |\n|---|---|---|---|---|---|');
  }
  const load = await startMixedLoad(agent.endpoint);
  const begun = performance.now();
  const minutes: Minute[] = [];
  for (let minute = 1; minute <= MINUTES; minute++) {
    const one = { minute, ...(await watch(agent, begun + minute * MINUTE_MS)) };
    minutes.push(one);
    if (IS_LONG) print(one);
  }
  load.stop();
  const short = judge(minutes);
  const { answerable, journalled } = load.counts;
  await expect.poll(() => load.counts.replies, WAIT).toBeGreaterThan(MOST * answerable);
  const { runs } = await agent.split();
  expect(runs).toBeLessThanOrEqual(journalled);
  expect(runs).toBeGreaterThan(MOST * journalled);
  expect(short).toEqual([]);
});
