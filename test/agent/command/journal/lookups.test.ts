import { describe, expect, it } from 'vitest';
import { createLookups, type Wanted } from '../../../../agent/command/journal/lookups.js';
import type { Found } from '../../../../agent/command/journal/types.js';
import { deferred } from '../../../support/deferred.js';
import { keyOf, RUNNING } from './support.js';

const NUMBERS = new Map(Array.from({ length: 5000 }, (_, id) => [keyOf(id).toString('hex'), id]));

/** Lookups of which the test answers those that read the disk: commands with an odd number. */
function start() {
  const reads = new Map<number, ReturnType<typeof deferred<Found | undefined>>>();
  const numberOf = ({ key }: Wanted) => NUMBERS.get(Buffer.from(key ?? []).toString('hex')) ?? -1;
  const events: string[] = [];
  const lookups = createLookups({
    inMemory: (wanted) => (numberOf(wanted) % 2 === 1 ? 'later' : undefined),
    onDisk(wanted) {
      const read = deferred<Found | undefined>();
      reads.set(numberOf(wanted), read);
      events.push(`read ${numberOf(wanted)}`);
      return read.promise;
    },
  });
  return {
    ...lookups,
    events,
    find(id: number, peer = 'gateway', next: () => void = () => undefined): void {
      const then = (found?: Found) => {
        events.push(`${id} ${found?.kind ?? 'new'}`);
        next();
      };
      lookups.find({ key: keyOf(id), lifetimeMs: 1 }, peer, then);
    },
    async answer(id: number, found?: Found): Promise<void> {
      reads.get(id)?.resolve(found);
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

describe('lookups', () => {
  it('are answered at once where memory can', () => {
    const { find, open, events } = start();
    open();
    find(2);
    find(4);
    expect(events).toEqual(['2 new', '4 new']);
  });

  it('of one peer are answered in their order; those of others do not wait', async () => {
    const { find, open, answer, events } = start();
    open();
    for (const id of [1, 2, 3]) find(id);
    find(4, 'other');
    find(5, 'third');
    expect(events).toEqual(['read 1', '4 new', 'read 5']);
    await answer(5);
    await answer(1, RUNNING);
    expect(events.slice(3)).toEqual(['5 new', '1 running', '2 new', 'read 3']);
    await answer(3);
    find(6);
    expect(events.slice(7)).toEqual(['3 new', '6 new']);
  });

  it('wait until they are opened, and are then answered in their order', async () => {
    const { find, open, answer, events } = start();
    for (const id of [2, 1, 4]) find(id);
    find(6, 'other');
    expect(events).toEqual([]);
    open();
    open();
    await answer(1);
    expect(events.filter((event) => !event.startsWith('6'))).toEqual(['2 new', 'read 1', '1 new', '4 new']);
    expect(events).toContain('6 new');
  });

  it('that are made by the answer to another come after those that wait', async () => {
    const { find, open, answer, events } = start();
    open();
    find(1, 'gateway', () => find(4));
    find(2);
    await answer(1);
    expect(events).toEqual(['read 1', '1 new', '2 new', '4 new']);
  });

  it('are refused when too many wait, and taken again when they were answered', async () => {
    const { find, open, events, answer } = start();
    for (let id = 0; id < 1024; id++) find(2 * id);
    expect(events).toEqual([]);
    find(3000);
    expect(events).toEqual(['3000 unknown']);
    open();
    await answer(-1);
    expect(events).toHaveLength(1025);
    find(1);
    await answer(1);
    expect(events.slice(-2)).toEqual(['read 1', '1 new']);
  });
});
