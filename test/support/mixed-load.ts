import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { onTestFinished } from 'vitest';
import type { Endpoint } from '../../agent/transport/endpoint.js';
import { toCbor } from '../../shared/format/value.js';
import { type RequestSetup, requestBytes } from './coap.js';
import { SEED, seededRandom } from './seed.js';
import { randomAddress } from './udp.js';

/** Commands that one peer sends each second; a fifteenth of them is journalled. */
const PER_SECOND = 300;
const PACE_MS = 10;
const RECEIVE_BUFFER_BYTES = 4_194_304;
/** How many commands a repeat may be of: more than those of which the journal keeps the reply. */
const REPEATED = 12_000;
const ECHOED = 'x'.repeat(1000);
/** Of 256 bytes, so that the list of commands takes several blocks. */
const BLOCK_EXPONENT = 4;
const JSON_FORMAT = 50;

/** A handler that may not run twice, and one that tells how often that ran and what the agent's memory is made of. */
export const LOAD_HANDLERS = `let runs = 0;
export const work = {
  name: 'work', description: 'Does its work',
  run: ({ number }) => ({ number, run: ++runs, text: 'y'.repeat(number % 8 === 0 ? 900 : 60) }),
};
export const split = {
  name: 'split', description: 'Tells what memory is used for', safe: true,
  run: () => ({ runs, ...process.memoryUsage() }),
};
`;

type Write = (number: number) => string | Uint8Array;

const json = (number: number, method: string, params?: object) =>
  JSON.stringify({ jsonrpc: '2.0', id: number, method, params });
const cbor = (number: number, method: string, params?: object) => toCbor({ id: number, method, params });
const coap = (number: number, setup: RequestSetup) =>
  requestBytes({ messageId: number & 0xffff, token: number.toString(16).padStart(8, '0'), ...setup });
const get = { method: '0.01' } as const;
const non = { type: 'NON' } as const;
const commandsBlock = (number: number) => ({
  ...get,
  path: 'commands',
  block2: { number, more: false, exponent: BLOCK_EXPONENT },
});

/** A journalled command: each eighth has a long reply, and each fourth goes by each of the formats. */
function writeWork(number: number): string | Uint8Array {
  const params = { number, note: 'z'.repeat(number % 100) };
  switch (number % 4) {
    case 0:
      return `#${number} work number=${number} note=${params.note}.`;
    case 1:
      return json(number, 'work', params);
    case 2:
      return cbor(number, 'work', params);
    default:
      return coap(number, { path: 'work', contentFormat: JSON_FORMAT, payload: JSON.stringify(params) });
  }
}

/** Makes the datagrams in turn; a tenth of a second of the load is thirty of them, two of which are journalled. */
function createMix() {
  const random = seededRandom(SEED);
  const worked: number[] = [];
  const work: Write = (number) => {
    if (worked.length < REPEATED) worked.push(number);
    else worked[random.integer(REPEATED)] = number;
    return writeWork(number);
  };
  const repeat: Write = (number) => {
    const earlier = worked[random.integer(worked.length)];
    return earlier === undefined ? `#${number} ping` : writeWork(earlier);
  };
  const ping: Write = () => 'ping';
  const named: Write = (number) => `#${number} ping`;
  const jsonPing: Write = (number) => json(number, 'ping');
  const cborPing: Write = (number) => cbor(number, 'ping');
  const coapGet: Write = (number) => coap(number, { ...get, path: 'ping' });
  const coapNon: Write = (number) => coap(number, { ...non, ...get, path: 'ping' });
  const coapPost: Write = (number) => coap(number, { path: 'ping' });
  const malformed: Write = () => Buffer.from([0xff, 0xfe, 0, 1]);
  const mix: readonly Write[] = [
    ...[work, ping, named, jsonPing, cborPing, coapGet, coapNon, coapPost],
    (number) => `#${number} echo ${ECHOED}`,
    (number) => coap(number, commandsBlock(0)),
    (number) => coap(number, commandsBlock(1)),
    (number) => coap(number, commandsBlock(2)),
    (number) => coap(number, { ...non, path: 'ping' }),
    (number) => json(number, 'health'),
    (number) => `#${number} no.such`,
    ...[work, ping, named, jsonPing, cborPing, coapGet, coapNon, coapPost],
    (number) => coap(number, { path: 'no/such' }),
    // A command that may not run twice, with parameters that cannot be read.
    (number) => coap(number, { path: 'work', contentFormat: JSON_FORMAT, payload: '{' }),
    (number) => json(number, 'echo', { number }),
    (number) => `{"jsonrpc":"2.0","id":${number},`,
    ...[malformed, repeat, ping],
  ];
  return (number: number) => {
    const write = mix[number % mix.length] ?? ping;
    return { bytes: write(number), isJournalled: write === work, isAnswered: write !== malformed };
  };
}

/** Sends a mix of commands in all formats at an even pace, and counts what comes back. */
export async function startMixedLoad(to: Endpoint) {
  const socket = createSocket({ type: 'udp4', recvBufferSize: RECEIVE_BUFFER_BYTES });
  socket.bind(0, randomAddress());
  await once(socket, 'listening');
  const next = createMix();
  const begun = performance.now();
  const counts = { sent: 0, journalled: 0, answerable: 0, replies: 0 };
  socket.on('message', () => {
    counts.replies++;
  });
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - begun) / 1000) * PER_SECOND);
    while (counts.sent < due) {
      const { bytes, isJournalled, isAnswered } = next(counts.sent);
      counts.sent++;
      if (isJournalled) counts.journalled++;
      if (isAnswered) counts.answerable++;
      socket.send(bytes, to.port, to.address);
    }
  }, PACE_MS);
  const stop = () => clearInterval(timer);
  onTestFinished(() => {
    stop();
    socket.close();
  });
  return { counts, stop };
}
