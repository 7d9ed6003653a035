import { expect } from 'vitest';
import { broadcast } from '../../../../sender/broadcast/broadcast.js';
import type { RequestProgress } from '../../../../sender/request/run-request.js';
import type { Scene } from './scene.js';

export const HOURS = 24;
/** Three blocks. */
const SCRIPT = Buffer.from('albatross '.repeat(110));
export const INVENTORY = 'sparrow feathers, '.repeat(180);
/** Hours at which something happens besides commands. */
const LOSSY_HOUR = 7;
const BROADCAST_HOUR = 9;
const KILL_HOUR = 12;
const RESTART_HOUR = 18;
/** A kind of command comes at each of these hours. */
const EVERY = 6;

/** Words of the day's commands, results, errors and events. */
export const WORDS = [
  ...['vault', 'survey', 'inventory', 'unlock', 'deposit', 'jammed', 'destroy', 'sirens', 'siren.raised', 'event'],
  ...[
    'moonlit',
    'heron',
    'sparrow',
    'feathers',
    'kestrel',
    'osprey',
    'magpie',
    'nightjar',
    'albatross',
    'cuckoo',
    '4711',
  ],
  ...['handler-failed', 'forbidden'],
] as const;

export const unlock = (scene: Scene, hour: number) =>
  scene.request(scene.sim.sid, 'vault.unlock', { pin: `4711-${hour}`, by: 'cuckoo' });

const done = (result: unknown) => ({ outcome: 'done', result, authentic: true });

/**
 * Has the sender and the device talk for a day: all kinds of commands, events, losses, repeats, a kill and a restart.
 *
 * @param from the first hour
 * @param until the hour that does not count any more
 */
export async function liveADay(scene: Scene, { from = 0, until = HOURS } = {}): Promise<void> {
  for (let hour = from; hour < until; hour++) {
    scene.setHour(hour);
    if (hour === KILL_HOUR) await scene.device.restart('SIGKILL');
    if (hour === RESTART_HOUR) await scene.device.restart('SIGTERM');
    if (hour === LOSSY_HOUR)
      scene.loopback.setFaults({ down: { loss: [2], duplicate: [1, 3] }, up: { loss: [1], duplicate: [2] } });
    const challenges = await liveAnHour(scene, hour);
    // The device knows neither at its first start nor after a kill what it has accepted.
    expect(challenges).toBe(hour === from || hour === KILL_HOUR ? 1 : 0);
    scene.loopback.setFaults({});
  }
}

/** @returns how often the device has challenged the sender */
async function liveAnHour(scene: Scene, hour: number): Promise<number> {
  const { request, sim, events } = scene;
  let challenges = 0;
  const onProgress = ({ type }: RequestProgress) => {
    if (type === 'challenged') challenges++;
  };
  expect(await request(sim.sid, 'vault.survey', ['cuckoo'], { get: true, onProgress })).toMatchObject(
    done({ bird: 'moonlit heron' }),
  );
  expect(await unlock(scene, hour)).toMatchObject(done('kestrel cabinet'));
  switch (hour % EVERY) {
    case 0:
      expect(await request(sim.sid, 'vault.deposit', SCRIPT)).toMatchObject(done('in the osprey drawer'));
      break;
    case 1:
      expect(await request(sim.sid, 'vault.inventory', undefined, { get: true })).toMatchObject(done(INVENTORY));
      break;
    case 2:
      expect(await request(sim.sid, 'vault.jammed')).toMatchObject({
        ...{ outcome: 'failed', error: { code: 'handler-failed' }, authentic: true },
      });
      break;
    case 4: {
      const before = events.length;
      expect(await request(sim.sid, 'vault.sirens')).toMatchObject(done(undefined));
      await expect.poll(() => events.length).toBe(before + 2);
      break;
    }
    case 5:
      expect(await request(sim.sid, 'vault.destroy')).toMatchObject({
        ...{ outcome: 'refused', error: { code: 'forbidden' }, authentic: true },
      });
      break;
  }
  if (hour === BROADCAST_HOUR) await tellAll(scene);
  return challenges;
}

async function tellAll({ sim, options }: Scene): Promise<void> {
  const command = { name: 'vault.unlock', params: { pin: '4711', to: 'all' } };
  for await (const result of broadcast([sim.sid], command, options)) {
    expect(result).toMatchObject({ ...done('kestrel cabinet'), sim: sim.sid });
  }
}
