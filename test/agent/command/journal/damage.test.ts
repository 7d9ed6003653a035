import { describe, expect, it } from 'vitest';
import { createDamageGuard } from '../../../../agent/command/journal/damage.js';
import { DamagedError } from '../../../../agent/storage/sqlite.js';
import { deferred } from '../../../support/deferred.js';

/** A database that is damaged until it was set aside, which the test lets end. */
function start() {
  const setAsides: ReturnType<typeof deferred<void>>[] = [];
  let isDamaged = true;
  const guard = createDamageGuard({
    setAside() {
      const one = deferred();
      setAsides.push(one);
      return one.promise;
    },
  });
  const look = async () => {
    if (isDamaged) throw new DamagedError('it is damaged');
    return 'read';
  };
  return {
    guard,
    look,
    setAsides,
    damage: () => {
      isDamaged = true;
    },
    /** The first that was asked for ends. */
    end() {
      isDamaged = false;
      setAsides[0]?.resolve();
    },
  };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('a damaged database', () => {
  it('is set aside once for all reads that find damage at the same time; they read again, and others after it', async () => {
    const { guard, look, setAsides, end } = start();
    const answers = Promise.all([guard(look), guard(look), guard(look)]);
    await turn();
    let isLooking = false;
    const later = guard(() => {
      isLooking = true;
      return look();
    });
    await turn();
    expect([setAsides.length, isLooking]).toEqual([1, false]);
    end();
    expect(await answers).toEqual(['read', 'read', 'read']);
    expect(await later).toBe('read');
  });

  it('is not set aside for a read that began before the last one was, and tells of that only now', async () => {
    const { guard, look, setAsides, end } = start();
    const first = deferred();
    let isFirst = true;
    const slow = guard(async () => {
      if (!isFirst) return look();
      isFirst = false;
      await first.promise;
      throw new DamagedError('it was damaged');
    });
    const quick = guard(look);
    await turn();
    end();
    expect(await quick).toBe('read');
    first.resolve();
    expect(await slow).toBe('read');
    expect(setAsides).toHaveLength(1);
  });

  it('is set aside again when a later read finds damage in the next, and what is then still damaged is told', async () => {
    const { guard, look, setAsides, end, damage } = start();
    const first = guard(look);
    await turn();
    end();
    await first;
    damage();
    const second = guard(look);
    await turn();
    expect(setAsides).toHaveLength(2);
    setAsides[1]?.resolve();
    await expect(second).rejects.toThrow(DamagedError);
  });
});

describe('a read that fails otherwise', () => {
  it('sets nothing aside', async () => {
    const { guard, setAsides } = start();
    await expect(guard(() => Promise.reject(new Error('the disk is full')))).rejects.toThrow('full');
    expect(setAsides).toEqual([]);
  });
});
