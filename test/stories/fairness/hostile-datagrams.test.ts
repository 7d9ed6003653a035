import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { encode } from 'cborg';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createAgent } from '../../../agent/agent.js';
import type { Counters } from '../../../agent/command/stats/counters.js';
import { defineHandler } from '../../../agent/handlers/handler.js';
import { FROM_CARRIER, startPipeline } from '../../support/pipeline.js';
import { SEED, type SeededRandom, seededRandom } from '../../support/seed.js';
import { openPeer, randomAddress } from '../../support/udp.js';

const DATAGRAMS = 100_000;
const WARM_UP = 20_000;
/** What is remembered of commands that may come again is bounded: its keys and replies stay well below this. */
const HEAP_GROWTH_BYTES = 12_000_000;

const handlers = [
  defineHandler({
    name: 'fail',
    description: '',
    run: () => {
      throw new Error('broken: "it\'s"');
    },
  }),
  defineHandler({ name: 'bytes', description: '', run: () => Buffer.alloc(2000, 0xfe) }),
  defineHandler({ name: 'long', description: '', run: () => 'ü"\u{1}'.repeat(500) }),
  defineHandler({ name: 'bad', description: '', run: () => [() => 1] }),
];

const REQUESTS = [
  { id: 1, method: 'ping' },
  { id: 'a', method: 'echo', params: { text: 'größe', list: [1, 2.5, null, true] } },
  { method: 'echo', params: [[[[]]], {}] },
  [{ id: 1, method: 'long' }, { id: 2, method: 'bytes' }, { method: 'fail' }, 7],
  Array.from({ length: 16 }, (_, id) => ({ id, method: 'nothing' })),
  { jsonrpc: '2.0', id: 1, result: 'pong' },
  [{ id: 1, error: { code: -32700, message: 'x' } }],
];

/** Good datagrams of every format, for the bad ones to be made from. */
const GOOD: readonly [Buffer, ...Buffer[]] = [
  Buffer.from('ping'),
  Buffer.from('#7 echo "a b" key=\'c d\' größe \\"'),
  Buffer.from('#8 long'),
  Buffer.from('bytes'),
  Buffer.from('fail'),
  Buffer.from('bad'),
  Buffer.from('#9 ok pong'),
  Buffer.from(`error parse-error a ' is not closed`),
  Buffer.from('40010001b470696e67', 'hex'),
  Buffer.from('6000', 'hex'),
  ...REQUESTS.map((request) => Buffer.from(JSON.stringify(request))),
  ...REQUESTS.map((request) => Buffer.from(encode(request))),
];

/** One way to spoil a datagram. */
type Mutation = (bytes: Buffer, random: SeededRandom) => Buffer;

const MUTATIONS: readonly [Mutation, ...Mutation[]] = [
  (bytes) => bytes,
  (bytes, { integer }) => bytes.subarray(0, integer(bytes.length + 1)),
  (bytes, { integer }) => bytes.subarray(integer(bytes.length + 1)),
  (bytes, { integer, bytes: junk }) => {
    const at = integer(bytes.length + 1);
    return Buffer.concat([bytes.subarray(0, at), junk(integer(8)), bytes.subarray(at)]);
  },
  (bytes, { integer }) => {
    const flipped = Buffer.from(bytes);
    for (let flips = integer(4); flips >= 0; flips--) {
      const at = integer(bytes.length);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << integer(8));
    }
    return flipped;
  },
  (bytes, { pick, integer }) => {
    const other = pick(GOOD);
    return Buffer.concat([bytes.subarray(0, integer(bytes.length + 1)), other.subarray(integer(other.length + 1))]);
  },
  (bytes, { integer }) => {
    const from = integer(bytes.length + 1);
    const part = bytes.subarray(from, from + 1 + integer(6));
    const times = integer(60);
    return Buffer.concat([bytes.subarray(0, from), ...Array.from({ length: times }, () => part), bytes.subarray(from)]);
  },
];

/** A datagram that nobody would send by mistake only. */
function hostile(random: SeededRandom): Buffer {
  const { integer, pick, bytes } = random;
  switch (integer(8)) {
    case 0:
      return bytes(integer(40));
    case 1:
      return Buffer.alloc(
        integer(1400),
        pick(['[', '{"', '"', "'", '\\', ' ', '#', 'a=', '\x81', '\xbf', '\x9f', '\xa1\x61']),
        'latin1',
      );
    case 2:
      return integer(50) === 0 ? bytes(integer(1400)) : bytes(3);
    default: {
      let spoilt = pick(GOOD);
      for (let times = integer(3); times >= 0; times--) spoilt = pick(MUTATIONS)(spoilt, random);
      return spoilt;
    }
  }
}

/** How many datagrams ended in each way that one can end in; commands of a batch are counted one by one. */
const ends = ({
  refusedSource,
  refusedEmpty,
  refusedOversize,
  malformed,
  strayReplies,
  coap,
  repeats,
  ...counters
}: Counters) => ({
  refusedSource,
  refusedEmpty,
  refusedOversize,
  malformed,
  strayReplies,
  coap,
  repeats,
  commands: counters.outcomes.done + counters.outcomes.failed + counters.outcomes.refused,
});

function usedHeap(): number {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect === 'function') collect();
  return process.memoryUsage().heapUsed;
}

describe('hostile datagrams', () => {
  it('crash nothing, are counted each once, leave nothing behind, and are answered in 1300 bytes at most, which no agent answers', () => {
    const random = seededRandom(SEED);
    const stranger = { address: '10.0.0.1', port: 1 };
    const agent = startPipeline({ handlers });
    const other = startPipeline({ handlers });
    let heap = 0;
    for (let index = 0; index < DATAGRAMS; index++) {
      if (index === WARM_UP) heap = usedHeap();
      const bytes = hostile(random);
      const source = random.integer(20) === 0 ? stranger : FROM_CARRIER;
      const which = () => `datagram ${index} of seed ${SEED}: ${bytes.toString('hex')}`;
      const before = ends(agent.counters);
      let replies: Buffer[];
      try {
        replies = agent.answers(bytes, source);
      } catch (error) {
        throw new Error(which(), { cause: error });
      }
      const now = ends(agent.counters);
      const changed = [
        now.refusedSource - before.refusedSource,
        now.refusedEmpty - before.refusedEmpty,
        now.refusedOversize - before.refusedOversize,
        now.malformed - before.malformed,
        now.strayReplies - before.strayReplies,
        now.coap - before.coap,
        // A CoAP message is counted as such, and besides as a repeat or its command.
        now.coap > before.coap ? 0 : now.repeats - before.repeats,
        now.coap > before.coap ? 0 : Math.min(now.commands - before.commands, 1),
      ];
      if (changed.reduce((sum, one) => sum + one, 0) !== 1) expect.unreachable(`${which()} was counted as ${changed}`);
      if (replies.length > 1) expect.unreachable(`${which()} was answered ${replies.length} times`);
      for (const reply of replies) {
        if (source === stranger) expect.unreachable(`${which()} was answered to a stranger`);
        if (reply.length > 1300) expect.unreachable(`${which()} was answered with ${reply.length} bytes`);
        const [answer] = other.answers(reply);
        if (answer !== undefined) expect.unreachable(`${which()} was answered: ${reply}, and that again: ${answer}`);
      }
    }
    expect(usedHeap() - heap, `bytes more on the heap, seed ${SEED}`).toBeLessThan(HEAP_GROWTH_BYTES);
    expect(agent.counters.received).toBe(DATAGRAMS);
    // All of the ways were gone.
    expect(Math.min(...Object.values(ends(agent.counters)))).toBeGreaterThan(10);
    expect(agent.answers('ping').map(String)).toEqual(['ok pong']);
  }, 60_000);

  it('come over a real socket too, and a good one is answered after them', async () => {
    const random = seededRandom(SEED + 1);
    const peer = await openPeer();
    const endpoint = { address: randomAddress(), port: 6969 };
    const agent = createAgent({
      config: { listen: { address: endpoint.address }, allow: [`${peer.endpoint.address}/32`] },
      handlers,
    });
    await agent.start();
    onTestFinished(() => agent.stop());
    // One after the other: each is there, or known to be lost, before the next hundred.
    for (let round = 0; round < 20; round++) {
      for (let index = 0; index < 100; index++) await peer.send(hostile(random), endpoint);
      await peer.send(`#round-${round} ping`, endpoint);
      let reply = '';
      while (reply !== `#round-${round} ok pong`) reply = (await peer.next()).bytes.toString();
    }
    const { counters, kernelDrops } = agent.status();
    expect([counters.received + (kernelDrops ?? 0), `seed ${SEED + 1}`]).toEqual([20 * 101, `seed ${SEED + 1}`]);
  });
});
