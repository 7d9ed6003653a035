import { describe, expect, it } from 'vitest';
import { importLater, requireDescriptors } from '../../../agent/base/shortage.js';
import { openDescriptors, withDescriptors } from '../../support/descriptors.js';
import { needs } from '../../support/needs.js';

describe.skipIf(needs('prlimit'))('file descriptors', () => {
  it('are enough while sixteen are free, and none stays open', async () => {
    const before = openDescriptors(process.pid).length;
    await withDescriptors(16, () => expect(requireDescriptors).not.toThrow());
    await withDescriptors(15, () => expect(requireDescriptors).toThrow('EMFILE'));
    expect(openDescriptors(process.pid)).toHaveLength(before);
  });

  it('are there before code is imported, as Node may not try again', async () => {
    let loads = 0;
    const load = async () => ++loads;
    await withDescriptors(15, () => expect(importLater(load)).rejects.toThrow('EMFILE'));
    expect(loads).toBe(0);
    expect(await importLater(load)).toBe(1);
  });
});
