/** The servers that the benchmark of the loopback compares, each a process of its own. */
import { fork, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { end, track } from '../lib/support.mjs';

/** @typedef {import('./http-rounds.mjs').Target} Target */

const PROGRAM = fileURLToPath(new URL('../../../dist/bin/supersim.js', import.meta.url));
const STORED = fileURLToPath(new URL('stored.mjs', import.meta.url));
const BARE = fileURLToPath(new URL('bare-hono.mjs', import.meta.url));
const START_TIMEOUT_MS = 60_000;
const ACCOUNT_SID = `AC${'0'.repeat(32)}`;
const AUTH_TOKEN = '0'.repeat(32);
/** What `supersim loopback` prints when it is ready: its URL, its SIM, and the address of that. */
const BANNER = /^API +(\S+)$[\s\S]*^SIM +(\S+) at ([\d.]+),[\s\S]*^ready;/m;

/**
 * Starts a loopback with SIMs of which some have sent commands; asked for a page of each of these in turn.
 *
 * @param {{ sims: number, senders: number, commands: number, pageSize: number }} options
 * @returns {Promise<Target>}
 */
export async function startStored({ sims, senders, commands, pageSize }) {
  const { pid, told, stop } = await startChild(STORED, [sims, senders, commands].map(String));
  const paths = told.sims.map((/** @type {string} */ sid) => `/v1/IpCommands?Sim=${sid}&PageSize=${pageSize}`);
  return { pid, asked: { url: told.url, auth: told.auth, paths, status: 200 }, stop };
}

/** Starts `supersim loopback`, with a device that discards what comes. @returns {Promise<Target>} */
export async function startProgram() {
  const args = ['loopback', '--http-port', '0', '--gateway', '127.199.0.1:0', '--sims', '1'];
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { SUPERSIM_ACCOUNT_SID: ACCOUNT_SID, SUPERSIM_AUTH_TOKEN: AUTH_TOKEN },
  });
  track(child);
  const [, url = '', sim, address] = await printed(child, BANNER);
  const device = createSocket('udp4');
  device.bind(0, address);
  await once(device, 'listening');
  const form = `Sim=${sim}&DevicePort=${device.address().port}&Payload=%23x+ping`;
  return {
    pid: child.pid ?? 0,
    asked: { url, auth: `${ACCOUNT_SID}:${AUTH_TOKEN}`, paths: ['/v1/IpCommands'], form, status: 201 },
    async stop() {
      await end(child);
      device.close();
    },
  };
}

/** Starts a bare server, which is asked and answers as another is and does. @param {Target} other @returns {Promise<Target>} */
export async function startBare({ asked }) {
  const { pid, told, stop } = await startChild(BARE, [await answerTo(asked)]);
  return { pid, asked: { ...asked, url: told.url }, stop };
}

/** Starts a module, and waits for what it tells its parent. @param {string} path @param {string[]} args */
async function startChild(path, args) {
  const child = fork(path, args);
  track(child);
  const [told] = await once(child, 'message', { signal: AbortSignal.timeout(START_TIMEOUT_MS) });
  return { pid: child.pid ?? 0, told, stop: () => end(child) };
}

/** @param {Target['asked']} asked */
async function answerTo({ url, auth, paths, form }) {
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const [response] = await once(request(url + paths[0], { method: 'POST', auth, headers }).end(form), 'response');
  return text(response);
}

/**
 * Waits until a program has printed what a pattern describes; what it prints after that is discarded.
 *
 * @param {import('node:child_process').ChildProcessByStdio<null, import('node:stream').Readable, null>} child
 * @param {RegExp} pattern
 * @returns {Promise<RegExpExecArray>}
 */
function printed(child, pattern) {
  let all = '';
  return new Promise((resolve, reject) => {
    const fail = () => reject(new Error(`the program is not ready; it printed: ${all}`));
    const timer = setTimeout(fail, START_TIMEOUT_MS);
    child.once('exit', fail);
    child.stdout.on('data', (chunk) => {
      all += chunk;
      const found = pattern.exec(all);
      if (found === null) return;
      clearTimeout(timer);
      child.off('exit', fail);
      child.stdout.removeAllListeners('data').resume();
      resolve(found);
    });
  });
}
