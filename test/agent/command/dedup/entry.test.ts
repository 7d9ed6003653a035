import { describe, expect, it } from 'vitest';
import { datagramKey, digestOf, textOf } from '../../../../agent/command/dedup/entry.js';

describe('the key of a datagram', () => {
  const long = Buffer.alloc(1300, 'x');

  it('is the same for the same peer and bytes only', () => {
    for (const bytes of [Buffer.from('#1 ping'), long]) {
      const key = textOf(datagramKey('gateway', bytes));
      expect(textOf(datagramKey('gateway', Buffer.from(bytes)))).toBe(key);
      expect(textOf(datagramKey('192.0.2.1:5', bytes))).not.toBe(key);
      for (let at = 0; at < bytes.length; at += 100) {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ 0x80;
        expect(textOf(datagramKey('gateway', changed))).not.toBe(key);
      }
    }
  });

  it('has a digest of 32 bytes, computed once, which differs as the key does', () => {
    const key = datagramKey('gateway', long);
    expect(digestOf(key)).toHaveLength(32);
    expect(digestOf(key)).toBe(digestOf(key));
    expect(digestOf(datagramKey('gateway', Buffer.from(long)))).toEqual(digestOf(key));
    expect(digestOf(datagramKey('192.0.2.1:5', long))).not.toEqual(digestOf(key));
  });
});
