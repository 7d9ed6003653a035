import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { type Fate, powerCuts } from '../../support/power-cut.js';
import { SEED, seededRandom } from '../../support/seed.js';
import { BUSY, commandBytes, emptyDisk, type Heard, openSender, startOn } from './agent-on-disk.js';

const rest = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, index) => first + index);
const idsOf = (heard: readonly Heard[], said: Heard['said']) =>
  heard.filter((one) => one.said === said).map(({ id }) => id);

describe.skipIf(needs('cc'))('a slow disk', () => {
  it('delays what is journalled, of which all is done, and no ping', async () => {
    const disk = await emptyDisk();
    const { device, runs } = await startOn(disk.folder, disk.env);
    const [sender, pinger] = [await openSender(), await openSender()];
    disk.set({ fsyncDelayMs: 100 });
    const ids = range(1, 20);
    const heard: Heard[] = [];
    for (const id of ids) {
      await sender.peer.send(commandBytes(id), device);
      await pinger.peer.send(`#${id} ping`, device);
      await rest(100);
    }
    for (const id of ids) expect(`${(await pinger.peer.next()).bytes}`).toBe(`#${id} ok pong`);
    while (heard.length < ids.length) heard.push(...(await sender.soFar()));
    expect(idsOf(heard, 'done').sort((a, b) => a - b)).toEqual(ids);
    expect(runs().sort((a, b) => a - b)).toEqual(ids);
  });

  it('that hangs keeps no ping from being answered, and what waits for it is done when it works again', async () => {
    const disk = await emptyDisk();
    const { device, runs } = await startOn(disk.folder, disk.env);
    const [sender, pinger] = [await openSender(), await openSender()];
    disk.set({ hang: true });
    for (const id of [1, 2, 3]) await sender.peer.send(commandBytes(id), device);
    for (let n = 0; n < 5; n++) {
      await rest(20);
      expect(`${await pinger.peer.ask('ping', device)}`).toBe('ok pong');
    }
    expect(await sender.soFar()).toEqual([]);
    expect(runs()).toEqual([]);
    disk.set({});
    const heard: Heard[] = [];
    while (heard.length < 3) heard.push(...(await sender.soFar()));
    expect(idsOf(heard, 'done').sort()).toEqual([1, 2, 3]);
    expect(runs().sort()).toEqual([1, 2, 3]);
  });
});

const sorted = (...ids: readonly number[]) => ids.toSorted((a, b) => a - b);

describe.skipIf(needs('cc'))('a disk on which one sync fails', () => {
  const first = range(1, 5);

  /** An agent that was killed after a sync of its journal had failed, what it said by then, and what it ran. */
  async function killedAfterFailure(during: readonly number[], afterwards: readonly number[]) {
    const disk = await emptyDisk();
    const sender = await openSender();
    const { device, runs, kill } = await startOn(disk.folder, disk.env);
    await sender.send(first, device, 1);
    disk.set({ fsyncError: 'EIO', fsyncCount: 1 });
    const heard = await sender.send(during, device, during.length);
    const busy = idsOf(heard, BUSY);
    expect(busy).not.toEqual([]);
    expect(sorted(...busy, ...idsOf(heard, 'done'))).toEqual(during);
    const after = await sender.send(afterwards, device, 2);
    await kill();
    expect(idsOf(after, 'done').sort((a, b) => a - b)).toEqual(afterwards);
    const done = [...first, ...idsOf(heard, 'done'), ...afterwards];
    expect(sorted(...runs())).toEqual(sorted(...done));
    return { disk, sender, busy, done };
  }

  /** Starts another agent on what is left, which says the same of all commands, and runs those that were refused. */
  async function saysTheSame(folder: string, { sender, busy, done }: Awaited<ReturnType<typeof killedAfterFailure>>) {
    const { device, runs } = await startOn(folder);
    const pinger = await openSender();
    expect(`${await pinger.peer.ask('ping', device)}`).toBe('ok pong');
    expect(await sender.soFar()).toEqual([]);
    expect(runs()).toEqual([]);
    // Sent again by who was told that it did not run, it is new.
    const heard = await sender.send([...busy, ...done], device, 1);
    expect(heard).toEqual([...busy, ...done].map((id) => ({ id, said: 'done' })));
    expect(runs()).toEqual(busy);
  }

  describe.each([
    ['among others', range(6, 13), range(14, 18)],
    // Nothing is written over what the sync was for.
    ['just before the end', range(6, 6), []],
  ])('%s', (_, during, afterwards) => {
    it('never runs what it has refused as busy, nor says that it may have', async () => {
      const killed = await killedAfterFailure(during, afterwards);
      await saysTheSame(killed.disk.folder, killed);
    });

    it.each(['nothing', 'everything', 'some'] satisfies Fate[])(
      'says the same after a power cut, when of what was not synced stays %s',
      async (fate) => {
        const killed = await killedAfterFailure(during, afterwards);
        const { records, build } = powerCuts(killed.disk.log);
        const folder = join(temporaryFolder(), 'state');
        build(records.length, fate, seededRandom(SEED), folder);
        await saysTheSame(folder, killed);
      },
    );
  });
});
