import { describe, expect, it } from 'vitest';
import type { RequestResult } from '../../../../sender/request/result.js';
import { SEED, type SeededRandom, seededRandom } from '../../../support/seed.js';
import { HOURS, liveADay, unlock } from './day.js';
import { openScene, type Scene } from './scene.js';

/** The datagrams in the order in which they were captured, in the opposite one, and in any. */
const orders = (datagrams: readonly Buffer[], random: SeededRandom): (readonly Buffer[])[] => [
  datagrams,
  datagrams.toReversed(),
  shuffled(datagrams, random),
];

function shuffled<T>(items: readonly T[], { integer }: SeededRandom): T[] {
  const all = [...items];
  for (let last = all.length - 1; last > 0; last--) {
    const [taken] = all.splice(integer(last + 1), 1);
    if (taken !== undefined) all.push(taken);
  }
  return all;
}

const stateOf = async ({ device }: Scene) => ({ runs: device.runs(), journal: await device.journal() });

const deniedBy = async ({ device }: Scene): Promise<number> => {
  const { denied } = (await device.status()).counters;
  return (denied['replay'] ?? 0) + (denied['stale'] ?? 0);
};

describe('who has the datagrams of a day and sends them again', () => {
  it('has no command run, and changes nothing on the device, be it restarted or killed', {
    timeout: 120_000,
  }, async () => {
    const scene = await openScene();
    await liveADay(scene);
    scene.setHour(HOURS);
    const toSim = [...scene.captured.toSim];
    const random = seededRandom(SEED);
    for (const by of [undefined, 'SIGTERM', 'SIGKILL'] as const) {
      if (by !== undefined) await scene.device.restart(by);
      const before = await stateOf(scene);
      expect(before.runs.length).toBeGreaterThan(2 * HOURS);
      for (const order of orders(toSim, random)) {
        await scene.post(order);
        await scene.looksAtAll();
      }
      expect(await stateOf(scene)).toEqual(before);
      expect(await deniedBy(scene)).toBeGreaterThan(HOURS);
    }
    expect(await unlock(scene, HOURS)).toMatchObject({ outcome: 'done', authentic: true });
  });

  it('answers no request of the sender, and has no event reported twice', { timeout: 120_000 }, async () => {
    const scene = await openScene();
    await liveADay(scene);
    scene.setHour(HOURS);
    const fromSim = [...scene.captured.fromSim];
    const events = [...scene.events];
    expect(events).toHaveLength(2 * (HOURS / 6));
    scene.device.signal('SIGSTOP');
    const ended: RequestResult[] = [];
    const survey = () => scene.request(scene.sim.sid, 'vault.survey', ['cuckoo'], { get: true });
    const requests = [unlock(scene, HOURS), survey()].map(async (request) => void ended.push(await request));
    for (const order of orders(fromSim, seededRandom(SEED))) await scene.inject(order);
    expect(ended).toEqual([]);
    expect(scene.events).toEqual(events);
    scene.device.signal('SIGCONT');
    await Promise.all(requests);
    expect(ended.map(({ outcome }) => outcome)).toEqual(['done', 'done']);
  });
});
