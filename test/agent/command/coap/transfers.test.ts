import { describe, expect, it } from 'vitest';
import {
  blockOf,
  createTransfers,
  MAX_BODY_BYTES,
  MAX_RESPONSE_BYTES,
  REQUEST_BOUNDS,
  RESPONSE_BOUNDS,
  type Requester,
  transferKey,
} from '../../../../agent/command/coap/transfers.js';
import type { CoapRequest } from '../../../../shared/coap/request.js';
import { liveMemory } from '../../../support/live-memory.js';

/** MAX_TRANSMIT_WAIT of direct peers. */
const IDLE = 93_000;
const REQUEST: CoapRequest = {
  method: '0.02',
  path: ['a'],
  query: [],
  contentFormat: undefined,
  accept: undefined,
  block1: undefined,
  block2: undefined,
  size1: undefined,
  requestTag: undefined,
  payload: Buffer.alloc(0),
};

interface Part {
  readonly number: number;
  readonly text: string;
  readonly more?: boolean;
  readonly exponent?: number;
  readonly now?: number;
  readonly contentFormat?: number;
  readonly size1?: number;
}

const peerOf = (name: string, address = '192.0.2.1'): Requester => ({
  name,
  address,
  caller: { kind: 'anyone', port: 5683 },
});
const PEER = peerOf('192.0.2.1:5683');

/** Transfers, and a way to hand them blocks of 16 bytes that are brief to write. */
function startTransfers() {
  let drops = 0;
  const transfers = createTransfers(() => drops++);
  return {
    ...transfers,
    drops: () => drops,
    take(part: Part, peer = PEER) {
      const { number, text, more = true, exponent = 0, now = 0, contentFormat, size1 } = part;
      const request = { ...REQUEST, contentFormat, size1, payload: Buffer.from(text) };
      return transfers.assemble(request, { number, more, exponent }, peer, now);
    },
  };
}

const A = 'a'.repeat(16);
const B = 'b'.repeat(16);
const CONTINUE = { code: '2.31' };
const INCOMPLETE = { code: '4.08' };
const body = (text: string) => ({ body: Buffer.from(text) });

describe('a body that comes in blocks', () => {
  it('is put together when the last one comes', () => {
    const { take } = startTransfers();
    expect(take({ number: 0, text: A })).toEqual(CONTINUE);
    expect(take({ number: 1, text: B })).toEqual(CONTINUE);
    expect(take({ number: 2, text: 'c', more: false })).toEqual(body(`${A}${B}c`));
  });

  it('may be one block, and may be empty', () => {
    const { take } = startTransfers();
    expect(take({ number: 0, text: 'x', more: false })).toEqual(body('x'));
    expect(take({ number: 0, text: '', more: false })).toEqual(body(''));
  });

  it('may end with a full block', () => {
    const { take } = startTransfers();
    take({ number: 0, text: A });
    expect(take({ number: 1, text: B, more: false })).toEqual(body(A + B));
  });

  it('does not change with the buffers that its blocks came in', () => {
    const transfers = createTransfers();
    const payload = Buffer.alloc(16, 'a');
    transfers.assemble({ ...REQUEST, payload }, { number: 0, more: true, exponent: 0 }, PEER, 0);
    payload.fill('z');
    const last = { ...REQUEST, payload: Buffer.from('b') };
    expect(transfers.assemble(last, { number: 1, more: false, exponent: 0 }, PEER, 0)).toEqual(body(`${A}b`));
  });

  it('is done with when it is put together: a last block that comes again belongs to nothing', () => {
    const { take } = startTransfers();
    take({ number: 0, text: A });
    take({ number: 1, text: 'b', more: false });
    expect(take({ number: 1, text: 'b', more: false })).toEqual(INCOMPLETE);
  });

  it.each([
    ['a block that was skipped', { number: 2, text: B }],
    ['a last block without those before it', { number: 5, text: 'c', more: false }],
    ['a block that comes again', { number: 0, text: A, more: true }],
  ])('goes on after one that does not belong there: %s', (_, stray) => {
    const { take } = startTransfers();
    take({ number: 0, text: A });
    expect(take(stray)).toEqual(stray.number === 0 ? CONTINUE : INCOMPLETE);
    expect(take({ number: 1, text: 'c', more: false })).toEqual(body(`${A}c`));
  });

  it('takes no block twice, and acknowledges that which came last when it comes again', () => {
    const { take } = startTransfers();
    take({ number: 0, text: A });
    take({ number: 1, text: B });
    expect(take({ number: 1, text: B })).toEqual(CONTINUE);
    expect(take({ number: 1, text: A })).toEqual(INCOMPLETE);
    expect(take({ number: 2, text: 'c', more: false })).toEqual(body(`${A}${B}c`));
  });

  it('begins anew with its first block', () => {
    const { take } = startTransfers();
    take({ number: 0, text: A });
    take({ number: 1, text: A });
    expect(take({ number: 0, text: B })).toEqual(CONTINUE);
    expect(take({ number: 1, text: 'c', more: false })).toEqual(body(`${B}c`));
  });

  it('may go on in smaller blocks, counted in their own size', () => {
    const { take } = startTransfers();
    expect(take({ number: 0, text: A + B, exponent: 1 })).toEqual(CONTINUE);
    expect(take({ number: 1, text: A, exponent: 0 })).toEqual(INCOMPLETE);
    expect(take({ number: 2, text: A, exponent: 0 })).toEqual(CONTINUE);
    expect(take({ number: 3, text: 'c', more: false })).toEqual(body(`${A}${B}${A}c`));
  });

  it('is not there without its first block', () => {
    const { take } = startTransfers();
    expect(take({ number: 1, text: B })).toEqual(INCOMPLETE);
  });

  it('is of one content format', () => {
    const { take } = startTransfers();
    take({ number: 0, text: A, contentFormat: 50 });
    expect(take({ number: 1, text: 'b', more: false, contentFormat: 60 })).toEqual(INCOMPLETE);
    expect(take({ number: 1, text: 'b', more: false, contentFormat: 50 })).toEqual(body(`${A}b`));
  });

  it.each([
    ['a block that is too short, with more to come', { number: 0, text: 'short' }],
    ['a block that is too long, with more to come', { number: 0, text: `${A}x` }],
    ['a last block that is too long', { number: 0, text: `${A}x`, more: false }],
  ])('has blocks of the size that they say: %s', (_, part) => {
    expect(startTransfers().take(part)).toEqual({ code: '4.00' });
  });

  it('is given up when nothing more of it comes, each block giving it its time anew', () => {
    const { take } = startTransfers();
    take({ number: 0, text: A });
    expect(take({ number: 1, text: B, now: IDLE - 1 })).toEqual(CONTINUE);
    expect(take({ number: 2, text: A, now: 2 * IDLE - 2 })).toEqual(CONTINUE);
    expect(take({ number: 3, text: B, now: 3 * IDLE - 2 })).toEqual(INCOMPLETE);
  });

  it('is apart from another under another key', () => {
    const { take } = startTransfers();
    take({ number: 0, text: A }, peerOf('one'));
    take({ number: 0, text: B }, peerOf('two'));
    expect(take({ number: 1, text: '1', more: false }, peerOf('one'))).toEqual(body(`${A}1`));
    expect(take({ number: 1, text: '2', more: false }, peerOf('two'))).toEqual(body(`${B}2`));
  });
});

describe('a body that is too large', () => {
  const kilobyte = 'x'.repeat(1024);
  const blocks = MAX_BODY_BYTES / 1024;

  it('is refused at the block that goes beyond the bound, and forgotten', () => {
    const { take } = startTransfers();
    for (let number = 0; number < blocks; number++) {
      expect(take({ number, text: kilobyte, exponent: 6 })).toEqual(CONTINUE);
    }
    expect(take({ number: blocks, text: 'x', more: false, exponent: 6 })).toEqual({ code: '4.13' });
    expect(take({ number: blocks, text: '', more: false, exponent: 6 })).toEqual(INCOMPLETE);
  });

  it('is taken up to the last byte of the bound', () => {
    const { take } = startTransfers();
    for (let number = 0; number < blocks - 1; number++) take({ number, text: kilobyte, exponent: 6, size1: 65_536 });
    const whole = take({ number: blocks - 1, text: kilobyte, more: false, exponent: 6 });
    expect('body' in whole && whole.body.length).toBe(65_536);
  });

  it('is refused at its first block when that says so', () => {
    const { take } = startTransfers();
    expect(take({ number: 0, text: A, size1: MAX_BODY_BYTES + 1 })).toEqual({ code: '4.13' });
    expect(take({ number: 1, text: 'b', more: false })).toEqual(INCOMPLETE);
  });
});

/** Takes the first block from so many peers, each at an address of its own. */
const beginAs = (take: ReturnType<typeof startTransfers>['take'], count: number, more: Partial<Part> = {}) => {
  const peers = Array.from({ length: count }, (_, index) => peerOf(`peer ${index}`, `10.0.0.${index}`));
  for (const peer of peers) take({ number: 0, text: A, ...more }, peer);
  return peers;
};
const end = (number = 1): Part => ({ number, text: 'b', more: false });

describe('bodies that come in at once', () => {
  it('are 64 at most, and the one that waits longest gives way', () => {
    const { take, drops } = startTransfers();
    const [first, second, third] = beginAs(take, 64);
    take({ number: 1, text: A }, first);
    take({ number: 0, text: A }, peerOf('one more', '10.0.1.0'));
    expect(take(end(), second)).toEqual(INCOMPLETE);
    expect(take(end(2), first)).toEqual(body(`${A}${A}b`));
    expect(take(end(), third)).toEqual(body(`${A}b`));
    expect(drops()).toBe(1);
  });

  it('are a mebibyte at most, with what memory they take', () => {
    const { take } = startTransfers();
    const kilobyte = 'x'.repeat(1024);
    const peers = beginAs(take, 20, { text: kilobyte, exponent: 6 });
    for (const peer of peers) {
      for (let number = 1; number < 60; number++) take({ number, text: kilobyte, exponent: 6 }, peer);
    }
    const last: Part = { number: 60, text: 'x', more: false, exponent: 6 };
    // Each takes 64 KiB and what it is known by: 15 are less than a mebibyte, 16 are more.
    expect(peers.filter((peer) => 'body' in take(last, peer))).toEqual(peers.slice(5));
  });

  it('are 16 at most from one address, whatever ports, paths and tags they have: its oldest gives way', () => {
    const { take, assemble, drops } = startTransfers();
    const other = peerOf('192.0.2.7:1', '192.0.2.7');
    take({ number: 0, text: A }, other);
    const tagged = (index: number) => ({ ...REQUEST, requestTag: Buffer.from([index]), payload: Buffer.from(A) });
    for (let port = 0; port < 10; port++) take({ number: 0, text: A }, peerOf(`192.0.2.1:${port}`));
    for (let index = 0; index < 10; index++) assemble(tagged(index), { number: 0, more: true, exponent: 0 }, PEER, 0);
    expect(drops()).toBe(4);
    expect(take(end(), peerOf('192.0.2.1:3'))).toEqual(INCOMPLETE);
    expect(take(end(), peerOf('192.0.2.1:4'))).toEqual(body(`${A}b`));
    expect(take(end(), other)).toEqual(body(`${A}b`));
  });

  it('take half a mebibyte at most from one address', () => {
    const { take } = startTransfers();
    const kilobyte = 'x'.repeat(1024);
    const peers = Array.from({ length: 10 }, (_, port) => peerOf(`192.0.2.1:${port}`));
    for (const peer of peers) {
      for (let number = 0; number < 60; number++) take({ number, text: kilobyte, exponent: 6 }, peer);
    }
    const last: Part = { number: 60, text: 'x', more: false, exponent: 6 };
    expect(peers.filter((peer) => 'body' in take(last, peer))).toEqual(peers.slice(3));
  });

  it('of the carrier count on the address that began them, wherever their later blocks come from', () => {
    const { take } = startTransfers();
    const owner = (address: string) => peerOf('gateway', address);
    take({ number: 0, text: A }, owner('100.64.0.1'));
    take({ number: 1, text: A }, owner('100.64.0.9'));
    for (let port = 0; port < 100; port++) take({ number: 0, text: A }, peerOf(`attacker ${port}`, '100.64.0.9'));
    expect(take(end(2), owner('100.64.0.1'))).toEqual(body(`${A}${A}b`));
  });

  it('of many addresses that share all places leave that of an address with fewer', () => {
    const { take } = startTransfers();
    take({ number: 0, text: A });
    for (let index = 0; index < 400; index++) {
      take({ number: 0, text: A }, peerOf(`attacker ${index}`, `10.0.0.${index % 20}`));
    }
    expect(take(end())).toEqual(body(`${A}b`));
  });

  it('take no more memory than is counted, also in blocks of 16 bytes', () => {
    const { take } = startTransfers();
    const peers = beginAs(take, 16);
    const before = usedMemory();
    for (let number = 1; number < 1024; number++) {
      for (const peer of peers) {
        take({ number, text: A }, peer);
        // As other datagrams do between two blocks.
        Buffer.from(A.repeat(100));
      }
    }
    expect(usedMemory() - before).toBeLessThan(REQUEST_BOUNDS.bytes);
    // They are all still there.
    expect(peers.filter((peer) => 'body' in take(end(1024), peer))).toHaveLength(16);
  });
});

/** Bytes of all buffers, and of the objects that hold them. */
function usedMemory(): number {
  const { arrayBuffers, heapUsed } = liveMemory();
  return arrayBuffers + heapUsed;
}

describe('a response that goes in blocks', () => {
  const response = (text: string | Buffer) => ({ code: '2.05', payload: Buffer.from(text) });

  it('is kept while its blocks are asked for, and replaced by the next under the same key', () => {
    const { keep, kept } = createTransfers();
    keep(REQUEST, response('first'), PEER, 0);
    keep(REQUEST, response('second'), PEER, 10);
    expect(kept(REQUEST, PEER, IDLE + 9)).toEqual(response('second'));
    expect(kept(REQUEST, PEER, 2 * IDLE + 8)).toEqual(response('second'));
    expect(kept(REQUEST, PEER, 3 * IDLE + 8)).toBeUndefined();
    expect(kept(REQUEST, peerOf('b'), 0)).toBeUndefined();
  });

  it('has the same tag in all its blocks, and another response another one', () => {
    const bytes = Buffer.alloc(100, 'a');
    const tags = [0, 1, 2].map((number) => blockOf(response(bytes), number, 1)?.eTag.toString('hex'));
    expect(new Set(tags).size).toBe(1);
    expect(tags[0]).toMatch(/^[0-9a-f]{8}$/);
    bytes[99] = 0;
    expect(blockOf(response(bytes), 0, 1)?.eTag.toString('hex')).not.toBe(tags[0]);
    expect(blockOf(response(bytes), 4, 1)).toBeUndefined();
  });

  it('gives way to others of its address when they are more than 16, or together more than a mebibyte', () => {
    const { keep, kept } = createTransfers();
    const ports = Array.from({ length: 17 }, (_, port) => peerOf(`192.0.2.1:${port}`));
    for (const peer of ports) keep(REQUEST, response('x'), peer, 0);
    expect(ports.map((peer) => kept(REQUEST, peer, 0) !== undefined)).toEqual([false, ...Array(16).fill(true)]);
    keep(REQUEST, response(Buffer.alloc(MAX_RESPONSE_BYTES)), PEER, 0);
    expect(ports.map((peer) => kept(REQUEST, peer, 0))).toEqual(Array(17).fill(undefined));
    expect(kept(REQUEST, PEER, 0)?.payload.length).toBe(MAX_RESPONSE_BYTES);
  });

  it('stays whatever one other address asks for', () => {
    const { keep, kept } = createTransfers();
    keep(REQUEST, response(Buffer.alloc(MAX_RESPONSE_BYTES / 2)), PEER, 0);
    for (let port = 0; port < 100; port++) {
      keep(REQUEST, response(Buffer.alloc(MAX_RESPONSE_BYTES)), peerOf(`10.0.0.1:${port}`, '10.0.0.1'), 0);
      keep(REQUEST, response('x'), peerOf(`10.0.0.1:${port + 100}`, '10.0.0.1'), 0);
    }
    expect(kept(REQUEST, PEER, 0)?.payload.length).toBe(MAX_RESPONSE_BYTES / 2);
  });

  it('takes no more memory than is counted, also when it is a small part of a larger buffer', () => {
    const { keep } = createTransfers();
    const before = usedMemory();
    for (let index = 0; index < 64; index++) {
      const peer = peerOf(`peer ${index}`, `10.0.0.${index}`);
      keep(REQUEST, { code: '2.05', payload: Buffer.alloc(100_000).subarray(0, 20) }, peer, 0);
    }
    expect(usedMemory() - before).toBeLessThan(RESPONSE_BOUNDS.bytes);
  });
});

describe('what a transfer is known by', () => {
  it('is its peer, method, path, query and tag, and nothing that runs into another', () => {
    const tag = (text: string) => Buffer.from(text);
    const keys = [
      transferKey(peerOf('a'), REQUEST),
      transferKey(peerOf('b'), REQUEST),
      transferKey(peerOf('a'), { ...REQUEST, method: '0.01' }),
      transferKey(peerOf('a'), { ...REQUEST, path: ['a', 'b'] }),
      transferKey(peerOf('a'), { ...REQUEST, path: ['a'], query: ['b'] }),
      transferKey(peerOf('a'), { ...REQUEST, path: ['a/b'] }),
      transferKey(peerOf('a'), { ...REQUEST, path: ['a","b'] }),
      transferKey(peerOf('a'), { ...REQUEST, requestTag: tag('') }),
      transferKey(peerOf('a'), { ...REQUEST, requestTag: tag('1') }),
    ];
    expect(new Set(keys).size).toBe(keys.length);
  });

  it('is neither its payload nor its blocks nor its formats', () => {
    const block = { number: 1, more: false, exponent: 2 };
    expect(
      transferKey(peerOf('a'), {
        ...REQUEST,
        payload: Buffer.from('x'),
        block1: block,
        block2: block,
        accept: 0,
        size1: 5,
      }),
    ).toBe(transferKey(peerOf('a'), REQUEST));
  });
});
