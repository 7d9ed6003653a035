import { describe, expect, it } from 'vitest';
import type { SeenRequest } from '../../../../agent/command/dedup/entry.js';
import { createEvictableRing } from '../../../../agent/command/dedup/evictable-ring.js';
import { MAX_PAYLOAD_BYTES } from '../../../../shared/limits.js';

const CAPACITY = 8;
const LATER = 1000;

/** A memory of eight commands, and how they begin and end. */
function start() {
  const ring = createEvictableRing(CAPACITY);
  const begin = (key: string): SeenRequest => {
    const [lifetime, expiresAt] = [LATER, LATER];
    const rest = {
      reply: undefined,
      running: true,
      accepted: false,
      forgotten: false,
      slot: undefined,
      share: undefined,
    };
    const seen = { key, lifetime, expiresAt, ...rest };
    ring.begin(seen);
    return seen;
  };
  return {
    ring,
    begin,
    end: (key: string, reply = Buffer.from(`reply to ${key}`)) => ring.finish(begin(key), reply),
    replyTo: (key: string) => ring.find(key, 0)?.reply?.toString(),
  };
}

describe('a command that may be forgotten early', () => {
  it('is the very same while it runs, and afterwards what it was answered', () => {
    const { ring, begin, replyTo } = start();
    const seen = begin('a');
    expect(ring.find('a', LATER)).toBe(seen);
    ring.finish(seen, Buffer.from('x'));
    expect(ring.find('a', LATER - 1)).toMatchObject({ running: false, reply: Buffer.from('x') });
    expect(ring.find('a', LATER)).toBeUndefined();
    expect(replyTo('b')).toBeUndefined();
  });

  it('may have been answered nothing, which is no empty answer', () => {
    const { ring, begin, end } = start();
    ring.finish(begin('silent'), undefined);
    end('empty', Buffer.alloc(0));
    expect(ring.find('silent', 0)).toMatchObject({ running: false, reply: undefined });
    expect(ring.find('empty', 0)?.reply).toEqual(Buffer.alloc(0));
  });

  it('is one of the newest that there is room for, whatever their keys', () => {
    const { ring, end, replyTo } = start();
    const keys = Array.from({ length: 1000 }, (_, index) => `${index}\xff`.padEnd(1 + (index % 300), 'k'));
    for (const [index, key] of keys.entries()) {
      end(key);
      const [oldest, ...others] = keys.slice(Math.max(0, index - CAPACITY), index + 1);
      if (index >= CAPACITY) expect(replyTo(oldest ?? '')).toBeUndefined();
      for (const other of others) expect(replyTo(other)).toBe(`reply to ${Buffer.from(other)}`);
    }
    expect(ring.length).toBe(CAPACITY);
  });

  it('is told from another with the same checksum', () => {
    const { begin, end, replyTo } = start();
    // FNV-1a gives both 0x5e4daa9d.
    const [first, second] = ['costarring', 'liquid'];
    end(first);
    expect(replyTo(second)).toBeUndefined();
    end(second);
    expect([replyTo(first), replyTo(second)]).toEqual([`reply to ${first}`, `reply to ${second}`]);
    for (let index = 0; index < CAPACITY - 1; index++) begin(String(index));
    expect([replyTo(first), replyTo(second)]).toEqual([undefined, `reply to ${second}`]);
  });

  it('that ends when it has been forgotten takes no other’s place', () => {
    const { ring, begin, end, replyTo } = start();
    const slow = begin('slow');
    for (let index = 0; index < CAPACITY; index++) end(String(index));
    expect(slow.forgotten).toBe(true);
    ring.finish(slow, Buffer.from('too late'));
    ring.forget(slow);
    expect(replyTo('slow')).toBeUndefined();
    for (let index = 0; index < CAPACITY; index++) expect(replyTo(String(index))).toBe(`reply to ${index}`);
  });

  it('keeps its answer although its place is taken while that is on its way', () => {
    const { ring, end } = start();
    end('a');
    const reply = ring.find('a', 0)?.reply;
    for (let index = 0; index < CAPACITY; index++) end(`b${index}`);
    expect(reply?.toString()).toBe('reply to a');
  });

  it('has room for the longest datagrams, and is forgotten when it needs more', () => {
    const { ring, end } = start();
    const key = `[fe80::ffff:ffff:ffff:ffff%interface-name0]:65535\n${'k'.repeat(MAX_PAYLOAD_BYTES)}`;
    const neighbour = 'next';
    end(key, Buffer.alloc(MAX_PAYLOAD_BYTES, 'r'));
    end(neighbour);
    expect(ring.find(key, 0)?.reply).toEqual(Buffer.alloc(MAX_PAYLOAD_BYTES, 'r'));
    end('long', Buffer.alloc(10 * MAX_PAYLOAD_BYTES));
    expect(ring.find('long', 0)).toBeUndefined();
    expect(ring.find(neighbour, 0)?.reply?.toString()).toBe('reply to next');
  });

  it('is forgotten when it was not run after all', () => {
    const { ring, begin } = start();
    const busy = begin('busy');
    ring.forget(busy);
    expect(ring.find('busy', 0)).toBeUndefined();
    expect(busy.forgotten).toBe(true);
  });

  it('is given up when it is remembered elsewhere, and that is not to forget it', () => {
    const { ring, begin } = start();
    const kept = begin('kept');
    ring.release(kept);
    expect(ring.find('kept', 0)).toBeUndefined();
    expect(kept).toMatchObject({ forgotten: false, slot: undefined });
  });
});
