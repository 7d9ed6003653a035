import { describe, expect, it } from 'vitest';
import { needs } from '../../support/needs.js';
import { commandBytes, emptyDisk, type Heard, INTERRUPTED, openSender, startOn } from './agent-on-disk.js';

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
  it('keeps no command from being done, also after a kill', async () => {
    const disk = await emptyDisk();
    const sender = await openSender();
    const { device, runs, kill } = await startOn(disk.folder, disk.env);
    const ids = range(1, 20);
    await sender.send(ids.slice(0, 5), device, 1);
    disk.set({ fsyncError: 'EIO', fsyncCount: 1 });
    const heard = await sender.send(ids.slice(5), device, 5);
    expect(sorted(...idsOf(heard, 'done'))).toEqual(ids.slice(5));
    await kill();
    const after = await startOn(disk.folder);
    expect(await sender.send(ids, after.device, 1)).toEqual(ids.map((id) => ({ id, said: 'done' })));
    expect(sorted(...runs())).toEqual(ids);
    expect(after.runs()).toEqual([]);
  });
});

describe.skipIf(needs('cc'))('a disk on which every sync fails', () => {
  const known = range(1, 5);
  /** More than run at once. */
  const refused = range(101, 160);

  /** An agent all of whose syncs have failed since it ran the first commands. */
  async function failing() {
    const disk = await emptyDisk();
    const sender = await openSender();
    const started = await startOn(disk.folder, disk.env);
    await sender.send(known, started.device, 1);
    disk.set({ fsyncError: 'EIO' });
    const heard = await sender.send(refused, started.device, refused.length);
    expect(heard.map(({ said }) => said)).toEqual(refused.map(() => 'unrecorded'));
    // What is known is still answered.
    expect(await sender.send(known, started.device, 1)).toEqual(known.map((id) => ({ id, said: 'done' })));
    return { ...started, disk, sender };
  }

  it('makes commands busy, and runs none of them, also after a kill', async () => {
    const { disk, sender, runs, kill } = await failing();
    await kill();
    expect(runs()).toEqual(known);
    const after = await startOn(disk.folder);
    const heard = (await sender.send(known, after.device, 1)).filter(({ id }) => known.includes(id));
    expect(heard).toEqual(known.map((id) => ({ id, said: 'done' })));
    expect(after.runs()).toEqual([]);
    // They were not said to be refused for good: they may be interrupted, or run now.
    const again = await sender.send(refused, after.device, 1);
    for (const { said } of again) expect(['done', INTERRUPTED]).toContain(said);
    expect(sorted(...new Set(after.runs()))).toEqual(sorted(...after.runs()));
  });

  it('and works again takes commands again, also those that it has refused, and knows all of them after a kill', async () => {
    const { disk, sender, device, runs, kill } = await failing();
    disk.set({});
    const later = range(14, 20);
    while ((await sender.send([14], device, 1))[0]?.said !== 'done') await rest(100);
    await sender.send(later, device, 2);
    // Longer than the rows of what was refused stay on the disk.
    await rest(1500);
    await sender.send([...later, 21], device, 1);
    await kill();
    const after = await startOn(disk.folder);
    const done = [...known, ...later];
    expect(await sender.send(done, after.device, 1)).toEqual(done.map((id) => ({ id, said: 'done' })));
    expect(after.runs()).toEqual([]);
    expect(sorted(...runs())).toEqual([...done, 21]);
    expect(await sender.send(refused, after.device, 1)).toEqual(refused.map((id) => ({ id, said: 'done' })));
    expect(sorted(...after.runs())).toEqual(refused);
  });
});
