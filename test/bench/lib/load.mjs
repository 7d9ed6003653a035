/** The load generator, a process of its own: takes a job from its parent, does it, answers with what it counted. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { encode } from 'cborg';
import { connectMqtt } from '../peers/mqtt-client.mjs';

/** A datagram that is not answered in this time, or what a job says, is lost, and another goes in its place. */
const LOST_AFTER_MS = 500;
const SWEEP_MS = 100;
/** When a place's command was sent, where there is none: it is never late. */
const NOT_SENT = Number.POSITIVE_INFINITY;
const MAX_SAMPLES = 2_000_000;
/** By then the server has taken the command `block`. */
const BLOCK_BEGINS_MS = 200;
const QUIET_MS = 500;
const MEBIBYTE = 1_048_576;
/** A command that is sent at its time is waited for so much longer than commands are sent. */
const LATE_MS = 3000;
const PACE_MS = 1;

/**
 * @typedef {object} Format How commands are written. What a bare echo sends back is read like a reply.
 * @property {(number: number, place: number) => string | Buffer} write in a place a command follows the reply to the last
 * @property {(bytes: Buffer) => number} numberOf what is written with a number comes back with it
 * @property {(bytes: Buffer) => boolean} isError
 *
 * @typedef {{ address: string, port: number, format: keyof typeof formats, inFlight: number, ms: number, commands?: number, lostAfterMs?: number, topics?: import('../peers/mqtt-client.mjs').Topics }} RoundTripJob
 * @typedef {{ perSecond: number, commands: number, lost: number, errors: number, p50: number, p99: number }} RoundTripResult
 * @typedef {{ address: string, port: number, ms: number, count: number, bytes: number }} BurstJob
 * @typedef {{ sendMs: number, busyMs: number }} BurstResult
 * @typedef {{ address: string, port: number, format: keyof typeof formats, perSecond: number, ms: number, from?: string }} PacedJob
 * @typedef {{ commands: number, lost: number, errors: number, p50: number, p99: number }} PacedResult
 * @typedef {{ 'round-trips': { job: RoundTripJob, result: RoundTripResult }, paced: { job: PacedJob, result: PacedResult }, burst: { job: BurstJob, result: BurstResult } }} Jobs
 */

/** Parameters that make a datagram as long as one may be: one long string, and many short ones. */
const LONG_BYTES = 1300;
const LONG_COAP_BYTES = 1000;
const ONE_WORD = 'x'.repeat(LONG_BYTES);
const WORDS = 'abcdefg '.repeat(LONG_BYTES / 8);
const MEMBERS = Object.fromEntries(
  Array.from({ length: 60 }, (_, index) => [`key${10 + index}`, index % 2 === 0 ? `value ${index}` : index * 12.5]),
);
/** Room for what is around them. */
const ONE_MEMBER = { text: ONE_WORD.slice(80) };

const saysError = (/** @type {Buffer} */ bytes) => bytes.includes('error');
const beginsWithError = (/** @type {Buffer} */ bytes) => bytes.subarray(0, 20).includes('error');

/** @satisfies {Record<string, (inFlight: number) => Format>} */
const formats = {
  text: () => ({
    write: (number) => `#${number} ping`,
    numberOf: (bytes) => readNumber(bytes, 1),
    isError: saysError,
  }),
  json: () => jsonFormat('work'),
  coap: coapFormat,
  commandsText: () => ({
    write: (number) => `#${number} commands`,
    numberOf: (bytes) => readNumber(bytes, 1),
    isError: beginsWithError,
  }),
  commandsJson: () => jsonFormat('commands'),
  pingJson: () => jsonFormat('ping'),
  coapDiscovery: (/** @type {number} */ inFlight) => coapFormat(inFlight, '.well-known/core', '', GET),
  longText: () => longText(ONE_WORD),
  manyWords: () => longText(WORDS),
  longJson: () => jsonFormat('echo', ONE_MEMBER),
  manyJson: () => jsonFormat('echo', MEMBERS),
  longCbor: () => longCbor(ONE_MEMBER),
  manyCbor: () => longCbor(MEMBERS),
  longCoap: (/** @type {number} */ inFlight) => coapFormat(inFlight, 'echo', ONE_WORD.slice(0, LONG_COAP_BYTES)),
  manyCoap: (/** @type {number} */ inFlight) => coapFormat(inFlight, 'echo', WORDS.slice(0, LONG_COAP_BYTES)),
};

/** @param {string} words @returns {Format} */
const longText = (words) => ({
  write: (number) => `#${number} echo ${words}`.slice(0, LONG_BYTES),
  numberOf: (bytes) => readNumber(bytes, 1),
  isError: beginsWithError,
});

/** @param {string} method @param {unknown} [params] @returns {Format} */
function jsonFormat(method, params) {
  const rest = `,"method":"${method}"${params === undefined ? '' : `,"params":${JSON.stringify(params)}`}}`;
  return {
    write: (number) => `{"jsonrpc":"2.0","id":${number}${rest}`,
    numberOf: (bytes) => readNumber(bytes, bytes.indexOf('"id":') + 5),
    isError: (bytes) => bytes.includes('"error":'),
  };
}

/** Numbers below are written shorter in CBOR, and would make the datagrams differ in length. */
const FIRST_LONG_NUMBER = 0x10000;

/** @param {unknown} params @returns {Format} */
function longCbor(params) {
  const message = Buffer.from(encode({ id: 0xffffffff, method: 'echo', params }));
  const id = Buffer.from([0x62, ...Buffer.from('id'), 0x1a]);
  const at = message.indexOf(id) + id.length;
  return {
    write(number) {
      const bytes = Buffer.from(message);
      bytes.writeUInt32BE(number + FIRST_LONG_NUMBER, at);
      return bytes;
    },
    numberOf: (bytes) => bytes.readUInt32BE(bytes.indexOf(id) + id.length) - FIRST_LONG_NUMBER,
    isError: (bytes) => bytes.includes('error'),
  };
}

/** Methods of CoAP (RFC 7252 §12.1.1). */
const GET = 0x01;
const POST = 0x02;

/** Options Uri-Path (RFC 7252 §3.1), the first of a message. @param {string} path of segments of up to 268 bytes */
function uriPathOptions(path) {
  return path.split('/').flatMap((segment, index) => {
    const delta = index === 0 ? 0xb0 : 0;
    const length = segment.length < 13 ? [delta + segment.length] : [delta + 13, segment.length - 13];
    return [...length, ...Buffer.from(segment)];
  });
}

/**
 * Confirmable request (RFC 7252 §3), by default a POST to /ping, with the number as its token. A job is an endpoint of its
 * own and must end before its 65,536 message IDs do.
 *
 * @param {number} inFlight
 * @param {string} path
 * @param {string} payload without a Content-Format
 * @param {number} method
 * @returns {Format}
 */
function coapFormat(inFlight, path = 'ping', payload = '', method = POST) {
  const header = [0x44, method, 0, 0];
  const token = [0, 0, 0, 0];
  const uriPath = uriPathOptions(path);
  const body = payload === '' ? [] : [0xff, ...Buffer.from(payload)];
  const messages = Array.from({ length: inFlight }, () => Buffer.from([...header, ...token, ...uriPath, ...body]));
  let messageId = 0;
  return {
    write(number, place) {
      const message = /** @type {Buffer} */ (messages[place]);
      if (messageId > 0xffff) throw new Error('no message ID is left');
      message.writeUInt16BE(messageId++, 2);
      message.writeUInt32BE(number, 4);
      return message;
    },
    numberOf: (bytes) => bytes.readUInt32BE(4),
    isError: (bytes) => (bytes[1] ?? 0) >= 0x80,
  };
}

process.on('message', async (/** @type {RoundTripJob & PacedJob & BurstJob & { kind: keyof Jobs }} */ job) => {
  if (job.kind === 'burst') process.send?.(await burst(job));
  else process.send?.(job.kind === 'paced' ? await paced(job) : await roundTrips(job));
});

/** The highest number of a command until now. */
let lastNumber = 0;

/** @param {{ address: string, port: number, from?: string }} to */
async function connect({ address, port, from }) {
  const socket = createSocket({ type: 'udp4', recvBufferSize: MEBIBYTE });
  socket.on('error', () => undefined); // a refused datagram is a lost one
  if (from !== undefined) {
    socket.bind(0, from);
    await once(socket, 'listening');
  }
  socket.connect(port, address);
  await once(socket, 'connect');
  return socket;
}

/**
 * Keeps `inFlight` commands on their way, until the time is over or as many as wanted are answered; more are not sent.
 *
 * @param {RoundTripJob} job
 * @returns {Promise<RoundTripResult>}
 */
async function roundTrips({
  address,
  port,
  format,
  inFlight,
  ms,
  commands: enough = Number.POSITIVE_INFINITY,
  lostAfterMs = LOST_AFTER_MS,
  topics,
}) {
  const { write, numberOf, isError } = formats[format](inFlight);
  /** @type {import('../peers/mqtt-client.mjs').Link} */
  const socket = await (topics === undefined ? connect({ address, port }) : connectMqtt({ address, port, topics }));
  // The command in place p has a number with N % inFlight = p; each number is used once, also by later jobs, which may
  // happen to get the same port.
  const firstRound = Math.ceil(lastNumber / inFlight);
  const awaited = Array.from({ length: inFlight }, (_, place) => firstRound * inFlight + place);
  const sentAt = new Float64Array(inFlight);
  const samples = new Float64Array(MAX_SAMPLES);
  let sent = 0;
  let commands = 0;
  let lost = 0;
  let errors = 0;

  /** @param {number} place @param {number} now */
  const send = (place, now) => {
    const number = (awaited[place] ?? 0) + inFlight;
    awaited[place] = number;
    lastNumber = Math.max(lastNumber, number);
    sentAt[place] = now;
    socket.send(write(number, place));
  };

  /** @param {number} place @param {number} now */
  const sendNew = (place, now) => {
    if (sent++ < enough) send(place, now);
    else sentAt[place] = NOT_SENT;
  };

  const begun = performance.now();
  const ended = await new Promise((resolve) => {
    const end = () => {
      clearInterval(sweeper);
      socket.removeAllListeners('message');
      resolve(performance.now());
    };
    const sweeper = setInterval(() => {
      const now = performance.now();
      if (now - begun >= ms) return end();
      for (let place = 0; place < inFlight; place++) {
        if (now - (sentAt[place] ?? 0) < lostAfterMs) continue;
        lost++;
        send(place, now);
      }
    }, SWEEP_MS);
    socket.on('message', (bytes) => {
      const number = numberOf(bytes);
      const place = number % inFlight;
      if (awaited[place] !== number || sentAt[place] === NOT_SENT) return; // came after it was given up, or twice
      const now = performance.now();
      if (commands < MAX_SAMPLES) samples[commands] = now - (sentAt[place] ?? now);
      commands++;
      if (isError(bytes)) errors++;
      if (commands >= enough || now - begun >= ms) end();
      else sendNew(place, now);
    });
    for (let place = 0; place < inFlight; place++) sendNew(place, begun);
  });
  socket.close();
  return {
    perSecond: commands / ((ended - begun) / 1000),
    commands,
    lost,
    errors,
    ...quantiles(samples.subarray(0, Math.min(commands, MAX_SAMPLES))),
  };
}

/** @param {Float64Array} samples */
function quantiles(samples) {
  const sorted = samples.sort();
  const quantile = (/** @type {number} */ q) => sorted[Math.floor(q * (sorted.length - 1))] ?? Number.NaN;
  return { p50: quantile(0.5), p99: quantile(0.99) };
}

/**
 * Sends so many commands a second, whether they are answered or not, and waits for the replies that are late.
 *
 * @param {PacedJob} job
 * @returns {Promise<PacedResult>}
 */
async function paced({ address, port, format, perSecond, ms, from }) {
  const { write, numberOf, isError } = formats[format](1);
  const socket = await connect({ address, port, ...(from && { from }) });
  const count = Math.ceil((ms / 1000) * perSecond);
  const sentAt = new Float64Array(count);
  /** @type {number[]} */
  const samples = [];
  let sent = 0;
  let errors = 0;
  const begun = performance.now();
  await new Promise((resolve) => {
    const end = () => {
      clearInterval(pacer);
      clearTimeout(timer);
      resolve(undefined);
    };
    const timer = setTimeout(end, ms + LATE_MS);
    const pacer = setInterval(() => {
      const due = Math.min(count, Math.floor(((performance.now() - begun) / 1000) * perSecond) + 1);
      for (; sent < due; sent++) {
        sentAt[sent] = performance.now();
        socket.send(write(sent, 0));
      }
    }, PACE_MS);
    socket.on('message', (bytes) => {
      samples.push(performance.now() - (sentAt[numberOf(bytes)] ?? Number.NaN));
      if (isError(bytes)) errors++;
      if (samples.length === count) end();
    });
  });
  socket.close();
  const commands = samples.length;
  return { commands, lost: sent - commands, errors, ...quantiles(Float64Array.from(samples)) };
}

/** The decimal number from there on. @param {Buffer} bytes @param {number} start */
function readNumber(bytes, start) {
  let number = 0;
  for (let index = start; index < bytes.length; index++) {
    const digit = (bytes[index] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) break;
    number = number * 10 + digit;
  }
  return number;
}

/**
 * Makes the server's loop busy with its command `block`, sends the burst, and waits for the command's reply.
 *
 * @param {BurstJob} job
 * @returns {Promise<BurstResult>} how long the sending took, and how long the server did not answer
 */
async function burst({ address, port, ms, count, bytes }) {
  const socket = await connect({ address, port });
  const begun = performance.now();
  const answered = once(socket, 'message', { signal: AbortSignal.timeout(ms * 3) });
  socket.send('block');
  await new Promise((resolve) => setTimeout(resolve, BLOCK_BEGINS_MS));
  const sending = performance.now();
  await Promise.all(
    Array.from(
      { length: count },
      (_, number) => new Promise((resolve) => socket.send(`#${number} echo `.padEnd(bytes, 'x'), resolve)),
    ),
  );
  const sendMs = performance.now() - sending;
  await answered;
  const busyMs = performance.now() - begun;
  await quiet(socket, ms * 3);
  socket.close();
  return { sendMs, busyMs };
}

/**
 * Waits until nothing has come for a while: the server has taken all that waited in its buffer.
 *
 * @param {import('node:dgram').Socket} socket
 * @param {number} most in milliseconds
 */
async function quiet(socket, most) {
  const deadline = performance.now() + most;
  let last = performance.now();
  socket.on('message', () => {
    last = performance.now();
  });
  while (performance.now() - last < QUIET_MS && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS / 10));
  }
}
