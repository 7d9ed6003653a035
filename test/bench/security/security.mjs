/** What protection costs, and what those cost who have no key. */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { ADDRESS, atMost, folder, median, rest, startAgent } from '../lib/support.mjs';

/** Fewer than the 1,024 sequence numbers a second that a device has for its responses. */
const PER_SECOND = 800;
const ROUNDS = 7;
const ROUND_MS = 4000;
const WARM_UP_MS = 3000;
const FLOOD = 100_000;
const FLOOD_MS = 60_000;
const OWN_PER_SECOND = 50;
const LATE_MS = 3000;
const PACE_MS = 1;
/** A POST to /ping with a token of four bytes (RFC 7252 §3). */
const PLAIN = Buffer.from([0x44, 0x02, 0, 0, 0, 0, 0, 0, 0xb4, ...Buffer.from('ping')]);

export const title = 'Protection by OSCORE, and datagrams without a key';
export const method = `an agent with a key and log level warn gets ${PER_SECOND} datagrams a second from one address for ${ROUND_MS / 1000} s, ${ROUNDS} rounds of each kind in turn: protected confirmable POSTs to \`/ping\`, the same unprotected and text \`ping\` on a port that takes them, protected ones with a wrong tag, with a kid that no key has, and all the same replay; CPU time of all its threads by datagram, medians; then ${FLOOD.toLocaleString('en')} datagrams protected with a wrong key in ${FLOOD_MS / 1000} s from another address, and ${OWN_PER_SECOND} protected requests a second meanwhile`;

/**
 * @typedef {import('./operator.ts').Prepared} Prepared
 * @typedef {{ prepare: (count: number) => readonly Buffer[], port: number, isAnswered: boolean }} Kind
 */

export async function run() {
  const { createOperator, DEVICE } = await loadOperator();
  const secret = randomBytes(16).toString('hex');
  const agent = await startProtected(secret, DEVICE);
  const operator = createOperator(secret);
  await introduce(operator, agent.port);
  const findings = [
    ...(await costs(agent, operator, createOperator)),
    ...(await besideFlood(agent, operator, createOperator)),
  ];
  await agent.stop();
  return findings;
}

/** @returns {Promise<typeof import('./operator.ts')>} */
async function loadOperator() {
  const outfile = join(folder, 'operator.mjs');
  const entry = new URL('operator.ts', import.meta.url).pathname;
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    banner: { js: REQUIRE },
  });
  return import(pathToFileURL(outfile).href);
}

/** For packages in CommonJS. */
const REQUIRE = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";

/** @param {string} secret @param {string} device */
async function startProtected(secret, device) {
  const [state, keys] = [join(folder, 'protected-state'), join(folder, 'keys')];
  for (const each of [state, keys]) mkdirSync(each, { mode: 0o700 });
  writeFileSync(join(keys, 'bench.json'), JSON.stringify({ device, kid: 1, secret }), { mode: 0o600 });
  const config = { state: { folder: state }, security: { keys, except: ['ping'] } };
  return startAgent({ config, level: 'warn' });
}

/**
 * Follows the challenge that a first request gets.
 *
 * @param {ReturnType<typeof import('./operator.ts').createOperator>} operator
 * @param {number} port
 */
async function introduce(operator, port) {
  const socket = createSocket('udp4');
  const ask = async (/** @type {Prepared} */ request) => {
    socket.send(request.bytes, port, ADDRESS);
    const [response] = await once(socket, 'message');
    return request.open(response);
  };
  const echo = (await ask(operator.post(0)))?.echo;
  if (echo === undefined) throw new Error('the agent did not challenge the first request');
  const answer = await ask(operator.postWithEcho(0, echo));
  if (answer?.code !== '2.04') throw new Error(`the agent answered ${answer?.code}`);
  socket.close();
}

/**
 * @param {{ pid: number, port: number }} agent
 * @param {ReturnType<typeof import('./operator.ts').createOperator>} operator
 * @param {typeof import('./operator.ts').createOperator} createOperator
 */
async function costs({ pid, port }, operator, createOperator) {
  const stranger = createOperator(randomBytes(16).toString('hex'));
  const unknown = createOperator(randomBytes(16).toString('hex'), 9);
  const known = operator.post(1).bytes;
  const each = (/** @type {(index: number) => Buffer} */ make) => (/** @type {number} */ count) =>
    Array.from({ length: count }, (_, index) => make(index));
  /** @type {Record<string, Kind>} */
  const kinds = {
    protected: { prepare: each((index) => operator.post(index).bytes), port, isAnswered: true },
    plain: { prepare: each(plainPost), port, isAnswered: true },
    ping: { prepare: each((index) => Buffer.from(`#${index} ping`)), port, isAnswered: true },
    'bad tag': { prepare: each((index) => stranger.post(index).bytes), port, isAnswered: false },
    'unknown kid': { prepare: each((index) => unknown.post(index).bytes), port, isAnswered: false },
    // In another message, as the same datagram would be answered from memory.
    replay: { prepare: each((index) => inOtherMessage(known, index)), port, isAnswered: false },
  };
  await send(pid, { prepare: () => [known], port, isAnswered: true }, 1);
  const spent = Object.fromEntries(Object.keys(kinds).map((name) => [name, /** @type {number[]} */ ([])]));
  for (const kind of Object.values(kinds)) await send(pid, kind, (PER_SECOND * WARM_UP_MS) / 1000);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, kind] of Object.entries(kinds)) {
      spent[name]?.push(await send(pid, kind, (PER_SECOND * ROUND_MS) / 1000));
    }
  }
  const of = (/** @type {string} */ name) => median(spent[name] ?? []);
  for (const name of Object.keys(kinds)) console.log(`  ${name}: ${of(name).toFixed(1)} µs of CPU each`);
  const times = (/** @type {number} */ ratio) => `${ratio.toFixed(2)} ×`;
  return [
    atMost('protected POST, CPU time against an unprotected one', of('protected') / of('plain'), 2, times),
    atMost('datagram with a wrong tag, CPU time against a ping', of('bad tag') / of('ping'), 1.5, times),
    atMost('replay, CPU time against a ping', of('replay') / of('ping'), 1, times),
    atMost('datagram with an unknown kid, CPU time against a ping', of('unknown kid') / of('ping'), 1, times),
  ];
}

/** @param {number} index */
function plainPost(index) {
  const bytes = Buffer.from(PLAIN);
  bytes.writeUInt16BE(index & 0xffff, 2);
  bytes.writeUInt32BE(index, 4);
  return bytes;
}

/** @param {Buffer} bytes @param {number} index */
function inOtherMessage(bytes, index) {
  const other = Buffer.from(bytes);
  other.writeUInt16BE((index + 1) & 0xffff, 2);
  other.writeUInt32BE(index + 2, 4);
  return other;
}

/**
 * Sends datagrams, so many a second. @returns the CPU time of each, in microseconds
 *
 * @param {number} pid
 * @param {Kind} kind
 * @param {number} count
 */
async function send(pid, { prepare, port, isAnswered }, count) {
  const datagrams = prepare(count);
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4_194_304 });
  let answered = 0;
  socket.on('message', () => answered++);
  const before = cpuMicroseconds(pid);
  await pace(datagrams.length, PER_SECOND, (index) => socket.send(datagrams[index] ?? '', port, ADDRESS));
  const end = performance.now() + LATE_MS;
  while (isAnswered && answered < count && performance.now() < end) await rest(PACE_MS);
  await rest(PACE_MS * 10);
  const spent = cpuMicroseconds(pid) - before;
  socket.close();
  if (isAnswered && answered < count) throw new Error(`${count - answered} of ${count} were not answered`);
  return spent / count;
}

/** @param {number} count @param {number} perSecond @param {(index: number) => void} act */
async function pace(count, perSecond, act) {
  const begun = performance.now();
  for (let sent = 0; sent < count; await rest(PACE_MS)) {
    const due = Math.min(count, Math.floor(((performance.now() - begun) / 1000) * perSecond) + 1);
    for (; sent < due; sent++) act(sent);
  }
}

/** The CPU time of all threads of a process, which the kernel counts in nanoseconds (proc(5), schedstat). @param {number} pid */
function cpuMicroseconds(pid) {
  let sum = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    sum += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]) / 1000;
  }
  return sum;
}

/**
 * @param {{ port: number }} agent
 * @param {ReturnType<typeof import('./operator.ts').createOperator>} operator
 * @param {typeof import('./operator.ts').createOperator} createOperator
 */
async function besideFlood({ port }, operator, createOperator) {
  const stranger = createOperator(randomBytes(16).toString('hex'));
  const flood = Array.from({ length: FLOOD }, (_, index) => stranger.post(index).bytes);
  const count = (OWN_PER_SECOND * FLOOD_MS) / 1000;
  const requests = Array.from({ length: count }, (_, index) => operator.post(index));
  const [flooder, own] = [createSocket('udp4'), createSocket('udp4')];
  flooder.bind(0, '127.0.0.2');
  await once(flooder, 'listening');
  const sentAt = new Float64Array(count);
  /** @type {number[]} */
  const times = [];
  own.on('message', (response) => {
    const index = response.readUInt32BE(4);
    if (requests[index]?.open(response)?.code === '2.04') times.push(performance.now() - (sentAt[index] ?? Number.NaN));
  });
  await Promise.all([
    pace(FLOOD, FLOOD / (FLOOD_MS / 1000), (index) => flooder.send(flood[index] ?? '', port, ADDRESS)),
    pace(count, OWN_PER_SECOND, (index) => {
      sentAt[index] = performance.now();
      own.send(requests[index]?.bytes ?? '', port, ADDRESS);
    }),
  ]);
  const end = performance.now() + LATE_MS;
  while (times.length < count && performance.now() < end) await rest(PACE_MS);
  flooder.close();
  own.close();
  const p99 = times.sort((one, other) => one - other)[Math.floor(0.99 * (times.length - 1))] ?? Number.NaN;
  return [
    atMost('protected requests without an answer beside the flood', count - times.length, 0, String),
    atMost('protected request beside the flood, p99', p99, 20, (ms) => `${ms.toFixed(1)} ms`),
  ];
}
