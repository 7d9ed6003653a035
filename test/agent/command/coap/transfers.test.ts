import { describe, expect, it } from 'vitest';
import {
  blockOf,
  createTransfers,
  MAX_BODY_BYTES,
  MAX_TRANSFER_BYTES,
  transferKey,
} from '../../../../agent/command/coap/transfers.js';
import type { CoapRequest } from '../../../../shared/coap/request.js';

const LIFETIME = 1000;
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

/** Transfers, and a way to hand them blocks of 16 bytes that are brief to write. */
function startTransfers() {
  const transfers = createTransfers();
  return {
    ...transfers,
    take(part: Part, key = 'a') {
      const { number, text, more = true, exponent = 0, now = 0, contentFormat, size1 } = part;
      const request = { ...REQUEST, contentFormat, size1, payload: Buffer.from(text) };
      return transfers.assemble(key, request, { number, more, exponent }, now, LIFETIME);
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
    transfers.assemble('a', { ...REQUEST, payload }, { number: 0, more: true, exponent: 0 }, 0, LIFETIME);
    payload.fill('z');
    const last = { ...REQUEST, payload: Buffer.from('b') };
    expect(transfers.assemble('a', last, { number: 1, more: false, exponent: 0 }, 0, LIFETIME)).toEqual(body(`${A}b`));
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

  it('takes no block twice', () => {
    const { take } = startTransfers();
    take({ number: 0, text: A });
    take({ number: 1, text: B });
    expect(take({ number: 1, text: B })).toEqual(INCOMPLETE);
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
    expect(take({ number: 1, text: B, now: LIFETIME - 1 })).toEqual(CONTINUE);
    expect(take({ number: 2, text: A, now: 2 * LIFETIME - 2 })).toEqual(CONTINUE);
    expect(take({ number: 3, text: B, now: 3 * LIFETIME - 2 })).toEqual(INCOMPLETE);
  });

  it('is apart from another under another key', () => {
    const { take } = startTransfers();
    take({ number: 0, text: A }, 'one');
    take({ number: 0, text: B }, 'two');
    expect(take({ number: 1, text: '1', more: false }, 'one')).toEqual(body(`${A}1`));
    expect(take({ number: 1, text: '2', more: false }, 'two')).toEqual(body(`${B}2`));
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

describe('bodies that come in at once', () => {
  it('are 64 at most, and the one that waits longest gives way', () => {
    const { take } = startTransfers();
    for (let index = 0; index < 64; index++) take({ number: 0, text: A }, String(index));
    take({ number: 1, text: A }, '0');
    take({ number: 0, text: A }, 'one more');
    expect(take({ number: 1, text: 'b', more: false }, '1')).toEqual(INCOMPLETE);
    expect(take({ number: 2, text: 'b', more: false }, '0')).toEqual(body(`${A}${A}b`));
    expect(take({ number: 1, text: 'b', more: false }, '2')).toEqual(body(`${A}b`));
  });

  it('are a mebibyte at most', () => {
    const { take } = startTransfers();
    const kilobyte = 'x'.repeat(1024);
    // 20 bodies of 60 kB are more than that, 17 are not.
    for (let index = 0; index < 20; index++) {
      for (let number = 0; number < 60; number++) take({ number, text: kilobyte, exponent: 6 }, String(index));
    }
    const kept = Array.from({ length: 20 }, (_, index) =>
      'body' in take({ number: 60, text: 'x', more: false, exponent: 6 }, String(index)) ? index : undefined,
    );
    expect(kept.filter((index) => index !== undefined)).toEqual(Array.from({ length: 17 }, (_, index) => index + 3));
  });
});

describe('a response that goes in blocks', () => {
  const response = (text: string | Buffer) => ({ code: '2.05', payload: Buffer.from(text) });

  it('is kept for its time, and replaced by the next under the same key', () => {
    const { keep, kept } = createTransfers();
    keep('a', response('first'), 0, LIFETIME);
    keep('a', response('second'), 10, LIFETIME);
    expect(kept('a', LIFETIME + 9)).toEqual(response('second'));
    expect(kept('a', LIFETIME + 10)).toBeUndefined();
    expect(kept('b', 0)).toBeUndefined();
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

  it('gives way to others when they are more than 64, or together more than a mebibyte', () => {
    const { keep, kept } = createTransfers();
    for (let index = 0; index < 65; index++) keep(`small ${index}`, response('x'), 0, LIFETIME);
    expect([kept('small 0', 0), kept('small 1', 0)]).toEqual([undefined, response('x')]);
    keep('large', response(Buffer.alloc(MAX_TRANSFER_BYTES)), 0, LIFETIME);
    expect([kept('small 64', 0), kept('large', 0)?.payload.length]).toEqual([undefined, MAX_TRANSFER_BYTES]);
  });
});

describe('what a transfer is known by', () => {
  it('is its peer, method, path, query and tag, and nothing that runs into another', () => {
    const tag = (text: string) => Buffer.from(text);
    const keys = [
      transferKey('a', REQUEST),
      transferKey('b', REQUEST),
      transferKey('a', { ...REQUEST, method: '0.01' }),
      transferKey('a', { ...REQUEST, path: ['a', 'b'] }),
      transferKey('a', { ...REQUEST, path: ['a'], query: ['b'] }),
      transferKey('a', { ...REQUEST, path: ['a/b'] }),
      transferKey('a', { ...REQUEST, path: ['a","b'] }),
      transferKey('a', { ...REQUEST, requestTag: tag('') }),
      transferKey('a', { ...REQUEST, requestTag: tag('1') }),
    ];
    expect(new Set(keys).size).toBe(keys.length);
  });

  it('is neither its payload nor its blocks nor its formats', () => {
    const block = { number: 1, more: false, exponent: 2 };
    expect(
      transferKey('a', { ...REQUEST, payload: Buffer.from('x'), block1: block, block2: block, accept: 0, size1: 5 }),
    ).toBe(transferKey('a', REQUEST));
  });
});
