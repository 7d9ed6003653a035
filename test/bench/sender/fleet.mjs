/**
 * Ways to command a fleet, each in a process of its own: takes a job from its parent, does it, answers with how long it
 * took and the memory that it has then.
 */
import { randomUUID } from 'node:crypto';
import { Agent, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import twilio from 'twilio';
import { broadcast, IpCommandClient } from '../../../dist/sender/index.js';
import { memoryKiB } from '../lib/proc.mjs';

const DEVICE_PORT = 6969;
const PAGE_SIZE = 100;

/**
 * @typedef {{ url: string, accountSid: string, authToken: string, sims: string[], concurrency: number, interval: number }} Job
 * @typedef {{ perSecond: number, rssAnonKiB: number }} Result
 */

/** @type {Record<string, (job: Job) => Promise<number>>} */
const ways = { broadcast: byBroadcast, shared: bySharedLook, each: byOwnLooks, posts: byPosts };

const way = ways[process.argv[2] ?? ''];
if (way === undefined) throw new Error(`there is no way ${process.argv[2]}`);

process.on('disconnect', () => process.exit());
process.on('message', async (/** @type {Job} */ job) => {
  const begun = performance.now();
  const done = await way(job);
  if (done !== job.sims.length) throw new Error(`${done} of ${job.sims.length} are done`);
  const seconds = (performance.now() - begun) / 1000;
  process.send?.({ perSecond: done / seconds, rssAnonKiB: memoryKiB(process.pid, 'RssAnon') });
});

/** @param {Job} job */
async function byBroadcast({ url, accountSid, authToken, sims, concurrency, interval }) {
  const client = new IpCommandClient({ baseUrl: url, accountSid, authToken });
  let done = 0;
  for await (const { outcome } of broadcast(sims, { name: 'ping' }, { client, concurrency, interval })) {
    if (outcome === 'done') done++;
  }
  return done;
}

/** @param {Job} job the official client, its connections kept */
function officialClient({ url, accountSid, authToken }) {
  const client = twilio(accountSid, authToken, { keepAlive: true });
  client.supersim.baseUrl = url;
  return client.supersim.v1.ipCommands;
}

/** @param {string} payload */
const idIn = (payload) => Buffer.from(payload, 'base64').toString().split(' ', 1)[0];

/**
 * The loop as it is written with the official client: so many at once, and each looks for its SIM's reply.
 *
 * @param {Job} job
 */
async function byOwnLooks(job) {
  const ipCommands = officialClient(job);
  let left = job.sims.length;
  let done = 0;

  async function work() {
    for (let sim = job.sims[--left]; sim !== undefined; sim = job.sims[--left]) {
      const id = `#${randomUUID()}`;
      await ipCommands.create({ sim, payload: `${id} ping`, devicePort: DEVICE_PORT });
      for (let answered = false; !answered; ) {
        await delay(job.interval);
        const newest = await ipCommands.list({ sim, direction: 'from_sim', limit: 5 });
        answered = newest.some(({ payload }) => idIn(payload) === id);
      }
      done++;
    }
  }

  await Promise.all(Array.from({ length: job.concurrency }, work));
  return done;
}

/**
 * The same as `broadcast` does it: one loop that looks for the replies of all.
 *
 * @param {Job} job
 */
async function bySharedLook(job) {
  const ipCommands = officialClient(job);
  const { sims, concurrency, interval } = job;
  /** @type {Map<string | undefined, () => void>} */
  const waiting = new Map();
  const known = new Set();
  let left = sims.length;
  let done = 0;

  async function look() {
    let page = await ipCommands.page({ direction: 'from_sim', pageSize: PAGE_SIZE });
    for (;;) {
      const before = known.size;
      for (const { sid, payload } of page.instances) {
        if (known.has(sid)) continue;
        known.add(sid);
        waiting.get(idIn(payload))?.();
      }
      const next = known.size - before === PAGE_SIZE ? await page.nextPage() : undefined;
      if (!next) return;
      page = next;
    }
  }

  async function work() {
    for (let sim = sims[--left]; sim !== undefined; sim = sims[--left]) {
      const id = `#${randomUUID()}`;
      const answered = new Promise((resolve) => waiting.set(id, () => resolve(undefined)));
      await ipCommands.create({ sim, payload: `${id} ping`, devicePort: DEVICE_PORT });
      await answered;
      waiting.delete(id);
      done++;
    }
  }

  await look();
  const all = Promise.all(Array.from({ length: concurrency }, work));
  while (done < sims.length) {
    await delay(interval);
    await look();
  }
  await all;
  return done;
}

/**
 * Nothing but the posts, by bare `node:http`: what the loopback can take.
 *
 * @param {Job} job
 */
async function byPosts({ url, accountSid, authToken, sims, concurrency }) {
  const agent = new Agent({ keepAlive: true, maxSockets: concurrency });
  const auth = `${accountSid}:${authToken}`;
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  let left = sims.length;
  let done = 0;

  const post = (/** @type {string} */ sim) =>
    new Promise((resolve, reject) => {
      const sent = request(`${url}/v1/IpCommands`, { method: 'POST', agent, auth, headers }, (response) => {
        if (response.statusCode === 201) done++;
        response.resume().on('end', resolve);
      });
      sent.on('error', reject);
      sent.end(`Sim=${sim}&DevicePort=${DEVICE_PORT}&Payload=%23x+ping`);
    });

  async function work() {
    for (let sim = sims[--left]; sim !== undefined; sim = sims[--left]) await post(sim);
  }

  await Promise.all(Array.from({ length: concurrency }, work));
  agent.destroy();
  return done;
}
