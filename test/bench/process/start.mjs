import { atMost, median, startAgent, startEcho } from '../lib/support.mjs';

const RUNS = 15;

export const title = 'Start';
export const method = `from spawning the process to its line that says it is ready, against bare Node binding a UDP port and saying so; ${RUNS} starts of each, in turn, after one of each that is not counted; the ratio of the medians`;

export async function run() {
  /** @type {number[]} */
  const bare = [];
  /** @type {number[]} */
  const agent = [];
  for (let round = 0; round <= RUNS; round++) {
    for (const { times, start } of [
      { times: bare, start: startEcho },
      { times: agent, start: startAgent },
    ]) {
      const server = await start();
      await server.stop();
      if (round > 0) times.push(server.startMs);
    }
  }
  const print = (/** @type {number[]} */ times) => times.map((ms) => ms.toFixed(0)).join(' ');
  console.log(`  bare Node: ${median(bare).toFixed(0)} ms (${print(bare)})`);
  console.log(`  agent: ${median(agent).toFixed(0)} ms (${print(agent)})`);
  console.log(`  the fastest of each: ${(Math.min(...agent) / Math.min(...bare)).toFixed(2)} ×`);
  return [
    atMost('start to ready, against bare Node', median(agent) / median(bare), 6, (ratio) => `${ratio.toFixed(2)} ×`),
  ];
}
