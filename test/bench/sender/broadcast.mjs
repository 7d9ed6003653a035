import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { atLeast, atMost, median, track } from '../lib/support.mjs';

const NETWORK = fileURLToPath(new URL('network.mjs', import.meta.url));
const FLEET = fileURLToPath(new URL('fleet.mjs', import.meta.url));
const SIMS = 2000;
const WARM_UPS = 2;
const ROUNDS = 9;
const CONCURRENCY = 100;
const INTERVAL_MS = 20;
const JOB_TIMEOUT_MS = 120_000;
const WAYS = /** @type {const} */ (['broadcast', 'each', 'shared', 'posts']);

/**
 * @typedef {(typeof WAYS)[number]} Way
 * @typedef {import('./fleet.mjs').Result & { requests: number }} Measured `requests` to the API
 */

export const title = 'A fleet';
export const method = `${SIMS.toLocaleString('en')} SIMs of a loopback, each with a device that answers at once, asked by \`broadcast\`; by the same loop written with the official client \`twilio\`, where each command looks for its SIM's reply; by one where one look serves all, as \`broadcast\` does it; and, to know what the loopback can take, sent nothing but the posts by bare \`node:http\`. ${CONCURRENCY} at once, ${INTERVAL_MS} ms between two looks, each way in a process of its own, loopback and devices in another; ${ROUNDS} rounds in turn, after ${WARM_UPS} that are not counted; medians, the ratio taken round by round; RssAnon after the last`;

export async function run() {
  const network = fork(NETWORK, [String(SIMS)]);
  track(network);
  const [where] = await once(network, 'message');
  const job = { ...where, concurrency: CONCURRENCY, interval: INTERVAL_MS };
  const processes = Object.fromEntries(WAYS.map((way) => [way, fork(FLEET, [way])]));
  for (const child of Object.values(processes)) track(child);
  /** How many there were since this was called last. @returns {Promise<number>} */
  const countRequests = async () => {
    network.send({});
    const [{ requests }] = await once(network, 'message', { signal: AbortSignal.timeout(JOB_TIMEOUT_MS) });
    return requests;
  };
  /** @type {Record<Way, Measured[]>} */
  const results = { broadcast: [], each: [], shared: [], posts: [] };

  for (let round = -WARM_UPS; round < ROUNDS; round++) {
    for (const way of WAYS) {
      const child = processes[way];
      await countRequests();
      child.send(job);
      const [result] = await once(child, 'message', { signal: AbortSignal.timeout(JOB_TIMEOUT_MS) });
      const requests = await countRequests();
      if (round >= 0) results[way].push({ ...result, requests });
    }
  }
  for (const child of [network, ...Object.values(processes)]) child.kill();

  const rates = (/** @type {Way} */ way) => results[way].map(({ perSecond }) => perSecond);
  const memory = (/** @type {Way} */ way) => (results[way].at(-1)?.rssAnonKiB ?? Number.NaN) / 1024;
  const requests = (/** @type {Way} */ way) => median(results[way].map((each) => each.requests));
  for (const way of WAYS) {
    const perSim = requests(way) / SIMS;
    console.log(
      `  ${way}: ${median(rates(way)).toFixed(0)}/s, ${perSim.toFixed(3)} requests a SIM, RssAnon ${memory(way).toFixed(1)} MiB`,
    );
  }
  const against = (/** @type {Way} */ way) => {
    const each = rates('broadcast').map((rate, round) => rate / (rates(way)[round] ?? Number.NaN));
    console.log(`  broadcast/${way} by round: ${each.map((ratio) => ratio.toFixed(2)).join(' ')}`);
    return median(each);
  };
  const times = (/** @type {number} */ ratio) => `${ratio.toFixed(2)} ×`;
  return [
    atMost(
      'requests to the API of a broadcast, against the loop with the official client',
      requests('broadcast') / requests('each'),
      0.6,
      times,
    ),
    atLeast('commands a second of a broadcast, against that loop', against('each'), 0.9, times),
    atLeast('the same, against that loop with one look for all', against('shared'), 0.9, times),
    atLeast(
      'the same, against nothing but the posts, as fast as the loopback takes them',
      against('posts'),
      0.4,
      times,
    ),
    atMost(
      'memory of a broadcast, against the loop with one look for all',
      memory('broadcast') / memory('shared'),
      1.1,
      times,
    ),
  ];
}
