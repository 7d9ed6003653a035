import { describe, expect, it } from 'vitest';
import { createSources, narrowAllow } from '../../../../agent/command/stats/sources.js';

describe('the sources of the last commands', () => {
  it('are counted, the most frequent first', () => {
    const sources = createSources();
    for (const address of ['100.64.0.1', '100.64.9.9', '100.64.0.1']) sources.add(address);
    expect(sources.list()).toEqual({
      addresses: [
        { address: '100.64.0.1', commands: 2 },
        { address: '100.64.9.9', commands: 1 },
      ],
      others: 0,
    });
  });

  it('are those of the last 1,000 commands only', () => {
    const sources = createSources();
    for (const address of ['10.0.0.1', '10.0.0.1', '10.0.0.2']) sources.add(address);
    for (let i = 0; i < 998; i++) sources.add('100.64.0.1');
    expect(sources.list().addresses).toEqual([
      { address: '100.64.0.1', commands: 998 },
      { address: '10.0.0.1', commands: 1 },
      { address: '10.0.0.2', commands: 1 },
    ]);
    for (let i = 0; i < 2; i++) sources.add('100.64.0.1');
    expect(sources.list().addresses).toEqual([{ address: '100.64.0.1', commands: 1000 }]);
  });

  it('are 64 addresses at most; the commands of further ones are counted together', () => {
    const sources = createSources();
    for (let i = 0; i < 100; i++) sources.add(`100.64.1.${i}`);
    expect(sources.list().addresses).toHaveLength(64);
    expect(sources.list().others).toBe(36);
    for (let i = 0; i < 1000; i++) sources.add('100.64.0.1');
    expect(sources.list().addresses).toContainEqual({ address: '100.64.0.1', commands: expect.any(Number) });
    for (let i = 0; i < 1000; i++) sources.add('100.64.0.1');
    expect(sources.list()).toEqual({ addresses: [{ address: '100.64.0.1', commands: 1000 }], others: 0 });
  });
});

describe('the configuration that admits only them', () => {
  const addresses = (...all: string[]) => all.map((address) => ({ address, commands: 1 }));

  it('names each address as a range', () => {
    const sources = { addresses: addresses('100.64.0.1', '2001:db8::1', 'fe80::1%wwan0'), others: 0 };
    expect(narrowAllow(sources)).toBe('allow: [100.64.0.1/32, 2001:db8::1/128, fe80::1/128]');
  });

  it('is none without commands, with many sources, and with sources that were not told apart', () => {
    expect(narrowAllow({ addresses: [], others: 0 })).toBe(undefined);
    expect(narrowAllow({ addresses: addresses('100.64.0.1'), others: 1 })).toBe(undefined);
    const many = addresses(...Array.from({ length: 17 }, (_, index) => `100.64.0.${index}`));
    expect(narrowAllow({ addresses: many, others: 0 })).toBe(undefined);
  });
});
