import { copyFileSync, mkdirSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createNumberSource } from '../../../sender/security/numbers.js';
import { clockFloor, MAX_SEQUENCE_NUMBER } from '../../../shared/oscore/sequence-number.js';
import { temporaryFolder } from '../../support/files.js';
import { buildKeysProgram, INSTALLATION, makeKeyStore, startKeys } from '../../support/keys.js';
import { rejection } from '../support.js';

let remove: () => void;
beforeAll(async () => {
  remove = await buildKeysProgram();
});
afterAll(() => remove());

const START = Date.UTC(2026, 2, 1);

/** A clock that waits move on, and what draws numbers by it. */
function setUp({ path, machine = INSTALLATION.machine }: { path?: string; machine?: string } = {}) {
  const clock = { now: START };
  const sleep = async (ms: number) => {
    const until = clock.now + ms;
    await new Promise(setImmediate);
    clock.now = Math.max(clock.now, until);
  };
  const made = makeKeyStore(path);
  const draw = createNumberSource(made.store, { machine: () => machine, now: () => clock.now, sleep });
  return { ...made, clock, draw };
}

describe('sequence numbers', () => {
  it('begin at the clock, and are drawn one after the other', async () => {
    const { draw, clock } = setUp();
    const floor = clockFloor(START);
    expect([await draw(), await draw()]).toEqual([floor, floor + 1]);
    clock.now += 10_000;
    expect(await draw()).toBe(clockFloor(clock.now));
  });

  it('are given only when the clock has reached them, however many are wanted at once', async () => {
    const { draw, clock } = setUp();
    const early: number[] = [];
    const drawn = Array.from({ length: 15_000 }, async () => {
      const number = await draw();
      if (number > clockFloor(clock.now)) early.push(number);
      return number;
    });
    const numbers = await Promise.all(drawn);
    expect(new Set(numbers).size).toBe(15_000);
    expect(early).toEqual([]);
  });

  it('go on where the clock goes backwards, at once where it does by far', async () => {
    const { draw, clock } = setUp();
    const before = await draw();
    clock.now -= 365 * 24 * 3600 * 1000;
    const wrong = clock.now;
    expect(await draw()).toBe(before + 1);
    expect(clock.now).toBe(wrong);
  });

  it('of a restored copy are higher than all that were given', async () => {
    const first = setUp();
    const backup = join(temporaryFolder(), 'backup');
    copyFileSync(first.path, backup);
    const given = await Promise.all(Array.from({ length: 500 }, first.draw));
    first.store.close();
    copyFileSync(backup, first.path);
    const second = setUp({ path: first.path });
    second.clock.now = first.clock.now + 1;
    expect(await second.draw()).toBeGreaterThan(Math.max(...given));
  });

  it('are not drawn from a file that was moved or copied to another path', async () => {
    const { path, store } = setUp();
    store.close();
    const folder = join(dirname(path), 'elsewhere');
    mkdirSync(folder);
    renameSync(path, join(folder, 'test.keys'));
    const { draw } = setUp({ path: join(folder, 'test.keys') });
    expect(await rejection(draw())).toMatchObject({ code: 'keys-copied', message: expect.stringContaining(path) });
  });

  it('are not drawn on another machine', async () => {
    const { draw, path } = setUp({ machine: 'other' });
    expect(await rejection(draw())).toMatchObject({ code: 'keys-copied', message: expect.stringContaining(path) });
  });

  it('are not drawn from a file that is no longer the one of its name', async () => {
    const { draw, path } = setUp();
    copyFileSync(path, `${path}.old`);
    renameSync(`${path}.old`, path);
    expect(await rejection(draw())).toMatchObject({ code: 'keys-unusable' });
  });

  it('end with the highest', async () => {
    const { draw, store } = setUp();
    store.run('UPDATE installation SET last = ?', [MAX_SEQUENCE_NUMBER - 1]);
    expect(await draw()).toBe(MAX_SEQUENCE_NUMBER);
    expect(await rejection(draw())).toMatchObject({ code: 'keys-unusable' });
  });

  it('are drawn by two processes at once, and none twice', { timeout: 60_000 }, async () => {
    const env = { SUPERSIM_KEYS: join(temporaryFolder(), 'test.keys'), SUPERSIM_MACHINE_ID: 'test' };
    expect(await startKeys(['keys', 'new'], env).ended).toBe(0);
    const running = [startKeys(['draw', '2000'], env), startKeys(['draw', '2000'], env)];
    expect(await Promise.all(running.map(({ ended }) => ended))).toEqual([0, 0]);
    const numbers = running.flatMap(({ output }) => output().split('\n'));
    expect(numbers).toHaveLength(4000);
    expect(new Set(numbers).size).toBe(4000);
    const other = startKeys(['draw', '1'], { ...env, SUPERSIM_MACHINE_ID: 'another' });
    expect(await other.ended).not.toBe(0);
    expect(other.output()).toContain('keys-copied');
  });
});
