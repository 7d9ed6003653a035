import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { defineHandler } from '../../../agent/handlers/handler.js';
import { type Block, blockSize } from '../../../shared/coap/block.js';
import { parseMessage } from '../../../shared/coap/message.js';
import { OPTION } from '../../../shared/coap/options.js';
import { detectFormat } from '../../../shared/format/detect.js';
import { type RequestSetup, requestBytes, withoutId } from '../../support/coap.js';
import { FROM_CARRIER, startPipeline } from '../../support/pipeline.js';
import { SEED, type SeededRandom, seededRandom } from '../../support/seed.js';

const DATAGRAMS = 100_000;
const WARM_UP = 40_000;
/** What 60,000 datagrams more may leave behind, when as much is remembered as may be. */
const HEAP_GROWTH_BYTES = 8_000_000;
const NEIGHBOUR = { address: '192.168.1.5', port: 40_000 };

const GET = '0.01';
const PATHS = ['ping', 'echo', 'long', 'fail', 'once', 'once', 'nothing', '.well-known/core', ''] as const;
const BODIES = ['', 'a b=1', '{"a":[1,"ü"]}', '[1]', '"', Buffer.from('a16161182a', 'hex'), 'x'.repeat(64)] as const;

/** A request that somebody might mean. */
function goodRequest({ integer, pick, bytes }: SeededRandom): Buffer {
  const block = () => ({ number: pick([0, 0, 1, 2, integer(1 << 20)]), more: integer(2) === 0, exponent: integer(7) });
  const setup: RequestSetup = {
    type: pick(['CON', 'CON', 'NON', 'ACK', 'RST']),
    method: pick([GET, GET, '0.02', '0.02', '0.02', '0.03', '0.31', '0.00']),
    messageId: integer(0x10000),
    token: bytes(integer(9)).toString('latin1').slice(0, 4),
    path: pick(PATHS),
    query: pick([[], [], ['a=1'], ['a=1', 'a=2'], ['x', '=']]),
    payload: pick(BODIES),
    ...(integer(3) === 0 && { contentFormat: pick([0, 40, 42, 50, 60, 41, 65_535]) }),
    ...(integer(4) === 0 && { accept: pick([0, 40, 42, 50, 60, 41]) }),
    ...(integer(4) === 0 && withBlock1(block(), integer(2) === 0)),
    ...(integer(4) === 0 && { block2: block() }),
    ...(integer(9) === 0 && { size1: integer(1 << 20) }),
    ...(integer(9) === 0 && { requestTag: String(integer(4)) }),
    ...(integer(5) === 0 && { options: [{ number: integer(pick([40, 300, 65_536])), value: bytes(integer(12)) }] }),
  };
  // An empty message has nothing but its header.
  const { type = 'CON', method, messageId = 0 } = setup;
  return requestBytes(method === '0.00' ? { type, method, messageId } : setup);
}

/** A block, with as many bytes as it says where it is told to be right. */
const withBlock1 = (block1: Block, right: boolean): RequestSetup =>
  right ? { block1, payload: 'x'.repeat(blockSize(block1.exponent)) } : { block1 };

/** Spoils what is behind the first two bytes, which tell that it is CoAP. */
function spoil(bytes: Buffer, { integer, bytes: junk }: SeededRandom): Buffer {
  const at = 2 + integer(bytes.length - 1);
  switch (integer(5)) {
    case 0:
      return bytes.subarray(0, at);
    case 1:
      return Buffer.concat([bytes.subarray(0, at), junk(integer(8)), bytes.subarray(at)]);
    case 2:
      return Buffer.concat([
        bytes.subarray(0, at),
        junk(1 + integer(3)),
        bytes.subarray(Math.min(at + 2, bytes.length)),
      ]);
    case 3: {
      const flipped = Buffer.from(bytes);
      flipped[at % bytes.length] = (flipped[at % bytes.length] ?? 0) ^ (1 << integer(8));
      return flipped;
    }
    default: {
      const part = bytes.subarray(at, at + 1 + integer(20));
      return Buffer.concat([bytes, ...Array.from({ length: integer(40) }, () => part)]);
    }
  }
}

function usedHeap(): number {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect === 'function') collect();
  return process.memoryUsage().heapUsed;
}

describe('hostile CoAP', () => {
  it('crashes nothing, runs nothing twice, leaves nothing behind, and is answered at most once with well-formed CoAP in 1300 bytes', () => {
    const random = seededRandom(SEED);
    const { integer, pick } = random;
    let runs = 0;
    const { answers, counters } = startPipeline({
      config: { allow: ['100.64.0.0/10', '192.168.0.0/16'] },
      handlers: [
        defineHandler({ name: 'long', description: '', idempotent: true, run: () => Buffer.alloc(3000, 0xfe) }),
        defineHandler({ name: 'once', description: '', run: () => String(++runs) }),
        defineHandler({
          name: 'fail',
          description: '',
          safe: true,
          run: () => {
            throw new Error('broken: "it\'s"\n'.repeat(90));
          },
        }),
      ],
    });
    const recent: { bytes: Buffer; source: typeof NEIGHBOUR }[] = [];
    const codes = new Map<string, number>();
    const count = (what: string) => codes.set(what, (codes.get(what) ?? 0) + 1);
    let heap = 0;
    for (let index = 0; index < DATAGRAMS; index++) {
      if (index === WARM_UP) heap = usedHeap();
      const repeated = integer(8) === 0 ? recent[integer(recent.length)] : undefined;
      let bytes = repeated?.bytes ?? goodRequest(random);
      if (repeated === undefined && integer(2) === 0) bytes = spoil(bytes, random);
      const source = repeated?.source ?? pick([FROM_CARRIER, NEIGHBOUR]);
      recent[index % 100] = { bytes, source };
      const which = () => `datagram ${index} of seed ${SEED}: ${bytes.toString('hex')}`;
      const runsBefore = runs;
      let replies: Buffer[];
      try {
        replies = answers(bytes, source);
      } catch (error) {
        throw new Error(which(), { cause: error });
      }
      if (runs > runsBefore && repeated !== undefined) expect.unreachable(`${which()} ran twice`);
      if (replies.length > 1) expect.unreachable(`${which()} was answered ${replies.length} times`);
      // Spoilt, it may be a command in text.
      if (detectFormat(bytes) !== 'coap') continue;
      count('coap');
      for (const reply of replies) {
        if (reply.length > 1300) expect.unreachable(`${which()} was answered with ${reply.length} bytes`);
        const { type, code, options } = parseMessage(reply);
        if (options.some(({ number }) => number === OPTION.block2)) count('block');
        count(`${type} ${code}`);
      }
    }
    expect(usedHeap() - heap, `bytes more on the heap, seed ${SEED}`).toBeLessThan(HEAP_GROWTH_BYTES);
    expect(counters.received).toBe(DATAGRAMS);
    expect(runs).toBeGreaterThan(1000);
    expect(counters.malformed).toBeGreaterThan(1000);
    // All of these ways were gone, none by an agent that was too busy to go another.
    const all = 'coap,block,RST 0.00,ACK 2.05,NON 2.05,ACK 2.04,NON 2.04,ACK 2.31,ACK 4.00,ACK 4.02,ACK 4.04,ACK 4.05';
    for (const what of `${all},ACK 4.06,ACK 4.08,ACK 4.13,ACK 4.15,ACK 5.00`.split(',')) {
      expect(codes.get(what), what).toBeGreaterThan(20);
    }
    expect([...codes.keys()].filter((code) => code.endsWith('5.03'))).toEqual([]);
    const last = requestBytes({ method: GET, path: 'ping', token: 'the last', payload: '' });
    expect(answers(last, NEIGHBOUR).map(withoutId)).toEqual(['ACK 2.05 "the last" pong']);
  }, 60_000);
});
