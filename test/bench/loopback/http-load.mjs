/** The load generator of HTTP, bare `node:http`, a process of its own: takes a job from its parent, does it, answers. */
import { Agent, request } from 'node:http';

/**
 * @typedef {object} Job
 * @property {string} url without a path
 * @property {string} auth USER:PASSWORD
 * @property {readonly string[]} paths asked in turn
 * @property {string} [form] is sent by POST
 * @property {number} status of the answers
 * @property {number} inFlight requests, each on a connection that is kept
 * @property {number} ms
 *
 * @typedef {{ perSecond: number, requests: number, bytes: number }} Result `bytes`: of the last answer's body
 */

process.on('disconnect', () => process.exit());
process.on('message', async (/** @type {Job} */ job) => process.send?.(await load(job)));

/**
 * Keeps requests on their way until the time is over.
 *
 * @param {Job} job
 * @returns {Promise<Result>}
 */
async function load({ url, auth, paths, form, status, inFlight, ms }) {
  const agent = new Agent({ keepAlive: true, maxSockets: inFlight });
  const method = form === undefined ? 'GET' : 'POST';
  const headers = form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' };
  const options = { method, agent, auth, headers };
  let sent = 0;
  let requests = 0;
  let bytes = 0;

  const ask = () =>
    new Promise((resolve, reject) => {
      const asked = request(url + paths[sent++ % paths.length], options, (response) => {
        if (response.statusCode !== status) reject(new Error(`answered ${response.statusCode}`));
        let length = 0;
        response.on('data', (chunk) => {
          length += chunk.length;
        });
        response.on('end', () => {
          bytes = length;
          requests++;
          resolve(undefined);
        });
      });
      asked.on('error', reject);
      asked.end(form);
    });

  const begun = performance.now();
  async function work() {
    while (performance.now() - begun < ms) await ask();
  }
  await Promise.all(Array.from({ length: inFlight }, work));
  agent.destroy();
  return { perSecond: requests / ((performance.now() - begun) / 1000), requests, bytes };
}
