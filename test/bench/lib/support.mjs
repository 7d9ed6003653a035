/** Shared by the benchmarks: starting processes, and comparing a figure with its bound. */
import { fork, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * @typedef {{ what: string, figure: string, bound: string, pass: boolean }} Finding
 * @typedef {{ pid: number, address: string, port: number, startMs: number, log: () => string, stop: () => Promise<void> }} Server
 * @typedef {Server & { beside?: readonly number[], topics?: import('../peers/mqtt-client.mjs').Topics }} Measured `beside`: other
 *   processes whose CPU time is part of what it takes; `topics`: it is reached by MQTT
 * @typedef {import('node:child_process').ChildProcess} ChildProcess
 */

const PROGRAM = fileURLToPath(new URL('../../../dist/bin/supersim-agent.js', import.meta.url));
const ECHO = fileURLToPath(new URL('echo.mjs', import.meta.url));
const COMMIT_ECHO = fileURLToPath(new URL('../journal/commit-echo.mjs', import.meta.url));
const COAP_PACKAGE = fileURLToPath(new URL('../commands/coap-package.mjs', import.meta.url));
const LOAD = fileURLToPath(new URL('load.mjs', import.meta.url));
const NOTIFY_LISTENER = fileURLToPath(new URL('../../support/notify-listener.py', import.meta.url));
export const ADDRESS = '127.0.0.1';
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 15_000;
/** Interval of the pings that test whether a server is ready. */
const PROBE_MS = 50;
/** Time that a load may take beyond what it was told to. */
const LOAD_GRACE_MS = 10_000;

/** A folder for configuration files and handlers, removed at the end. */
export const folder = mkdtempSync(join(tmpdir(), 'supersim-bench-'));
/** @type {Set<ChildProcess>} */
const children = new Set();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));

/** @param {number} ms */
export const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(half)] ?? Number.NaN) + (sorted[Math.ceil(half)] ?? Number.NaN)) / 2;
}

/** @type {(what: string, figure: number, bound: number, print: (figure: number) => string) => Finding} */
export const atLeast = (what, figure, bound, print) => ({
  what,
  figure: print(figure),
  bound: `≥ ${print(bound)}`,
  pass: figure >= bound,
});

/** @type {(what: string, figure: number, bound: number, print: (figure: number) => string) => Finding} */
export const atMost = (what, figure, bound, print) => ({
  what,
  figure: print(figure),
  bound: `≤ ${print(bound)}`,
  pass: figure <= bound,
});

/** A figure that has no bound. @type {(what: string, figure: string) => Finding} */
export const unbounded = (what, figure) => ({ what, figure, bound: 'none', pass: true });

/** @param {ChildProcess} child */
export function track(child) {
  children.add(child);
  child.once('exit', () => children.delete(child));
}

/** @param {ChildProcess} child */
export async function end(child) {
  if (!children.has(child)) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const killer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await exited;
  clearTimeout(killer);
}

/** A UDP port that was free just now. */
async function freePort() {
  const socket = createSocket('udp4');
  socket.bind(0, ADDRESS);
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}

/**
 * Listens on a socket as systemd does for `NOTIFY_SOCKET`.
 *
 * @param {string} path
 */
export async function listenToNotices(path) {
  const child = spawn('python3', [NOTIFY_LISTENER, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  track(child);
  let heard = '';
  await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the listener ended with ${code}`)));
    child.stdout.on('data', (chunk) => {
      heard += chunk;
      resolve(undefined);
    });
  });
  return { heard: () => heard, stop: () => end(child) };
}

/**
 * Starts a server and waits until it is ready. Its stdout is a pipe that is read and discarded.
 *
 * @param {(port: number) => [string, ...string[]]} command the program and its arguments
 * @param {object} options
 * @param {string | undefined} [options.readyMark] text that it writes when it is ready
 * @param {(port: number) => Promise<unknown>} [options.ready] resolves when it is, where it writes nothing; by default when it
 *   answers a ping
 * @param {number} [options.port] by default a free one of UDP
 * @param {boolean} [options.keepLog] whether to keep what it writes
 * @param {Record<string, string> | undefined} [options.env] additional environment variables
 * @returns {Promise<Server>}
 */
export async function startServer(command, { readyMark, ready = answers, port: given, keepLog = false, env = {} }) {
  const port = given ?? (await freePort());
  // NODE_EXTRA_CA_CERTS alone would double the time that bare Node needs to start.
  const environment = Object.entries(process.env).filter(([name]) => !/^(SUPERSIM_AGENT_|NODE_)/.test(name));
  const begun = performance.now();
  const [program, ...args] = command(port);
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...Object.fromEntries(environment), ...env },
  });
  track(child);
  let log = '';
  await new Promise((resolve, reject) => {
    setTimeout(
      () => reject(new Error(`server not ready within ${START_TIMEOUT_MS} ms; it wrote: ${log}`)),
      START_TIMEOUT_MS,
    ).unref();
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`server ended with ${code}; it wrote: ${log}`)));
    child.stdout.on('data', (chunk) => {
      log += chunk;
      if (readyMark !== undefined && log.includes(readyMark)) resolve(undefined);
    });
    if (readyMark === undefined) ready(port).then(resolve, reject);
  });
  const startMs = performance.now() - begun;
  if (!keepLog) child.stdout.removeAllListeners('data').resume();
  return { pid: child.pid ?? 0, address: ADDRESS, port, startMs, log: () => log, stop: () => end(child) };
}

/**
 * Resolves when a datagram is answered.
 *
 * @param {number} port
 * @param {string | Buffer} probe
 */
export async function answers(port, probe = 'ping') {
  const socket = createSocket('udp4');
  const timer = setInterval(() => socket.send(probe, port, ADDRESS), PROBE_MS);
  timer.unref();
  await once(socket, 'message');
  clearInterval(timer);
  socket.close();
}

/** The bare `node:dgram` echo. */
export const startEcho = () =>
  startServer((port) => [process.execPath, ECHO, ADDRESS, String(port)], { readyMark: 'ready' });

/**
 * An echo that commits rows.
 *
 * @param {string} state the folder of its database
 * @param {readonly number[]} lengths of a row's record, of its progress when started, and when done
 */
export const startCommitEcho = (state, lengths) =>
  startServer((port) => [process.execPath, COMMIT_ECHO, ADDRESS, String(port), state, ...lengths.map(String)], {
    readyMark: 'ready',
  });

/** A server made with the npm package `coap`. */
export const startCoapPackage = () =>
  startServer((port) => [process.execPath, COAP_PACKAGE, ADDRESS, String(port)], { readyMark: 'ready' });

/**
 * The agent as shipped: the bundle, one JSON line a command.
 *
 * @param {{ program?: string, config?: Record<string, unknown>, write?: (config: unknown) => string, level?: 'info' | 'warn', keepLog?: boolean, readyMark?: string, env?: Record<string, string> }} options `write`: writes the configuration, by default as JSON, which is YAML too
 */
export function startAgent({
  program = PROGRAM,
  config = {},
  write = JSON.stringify,
  level = 'info',
  keepLog = false,
  readyMark = 'agent started',
  env,
} = {}) {
  if (!existsSync(program)) throw new Error(`${program} does not exist: run npm run build`);
  const file = join(folder, 'config.yaml');
  writeFileSync(file, write({ ...config, log: { level } }));
  return startServer(
    (port) => [program, 'run', '--dev', '--config', file, '--address', ADDRESS, '--port', String(port)],
    { readyMark: level === 'info' ? readyMark : undefined, keepLog, env },
  );
}

/** Starts the load generator, which runs one job at a time. */
export function startLoad() {
  const child = fork(LOAD, { stdio: 'inherit' });
  track(child);
  return {
    pid: child.pid ?? 0,
    /**
     * @template {keyof import('./load.mjs').Jobs} Kind
     * @param {{ kind: Kind, ms: number } & import('./load.mjs').Jobs[Kind]['job']} job
     * @returns {Promise<import('./load.mjs').Jobs[Kind]['result']>}
     */
    run: (job) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error('the load generator did not finish in time')),
          job.ms + LOAD_GRACE_MS,
        );
        child.once('message', (result) => {
          clearTimeout(timer);
          resolve(result);
        });
        child.send(job);
      }),
    stop: () => end(child),
  };
}
