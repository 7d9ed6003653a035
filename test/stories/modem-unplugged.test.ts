import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { makeModemLink } from '../support/modem.js';
import { needs } from '../support/needs.js';
import { useModem } from '../support/used-modem.js';

/** Three seconds are five minutes. */
const PACE = 100;
const FIVE_MINUTES_MS = 300_000 / PACE;

async function startLink() {
  const link = await makeModemLink('quectel', { pace: PACE });
  await useModem(link.loopback);
  link.answer();
  await link.start();
  await link.up();
  return link;
}

describe.skipIf(needs('node-pty'))('a modem that is unplugged for minutes', { timeout: 60_000 }, () => {
  test('is waited for without attaches, is shown with its reason in the status, and is used again when it returns', async () => {
    const link = await startLink();
    await link.roundTrip('before');
    const { rungs } = link.transport.counts();
    const logged = (message: string, level: string) =>
      link.recording.withMessage(message).filter((line) => line.level === level).length;
    const lines = logged('no serial port', 'warn');
    await link.modem.unplug();
    await expect.poll(link.isUp).toBe(false);
    await pause(FIVE_MINUTES_MS);
    expect(link.transport.link().links[0]).toMatchObject({
      up: false,
      address: undefined,
      reason: expect.stringContaining(link.path),
    });
    expect(await link.send(Buffer.from('x'))).toMatchObject({ code: 'link-down' });
    const { port, ...others } = link.transport.counts().rungs;
    expect({ ...others, port: rungs.port }).toEqual(rungs);
    // The port is tried every 30 s at least, and what is logged is that it went, and that it is not there.
    expect(logged('no serial port', 'debug')).toBeGreaterThanOrEqual(8);
    expect(logged('no serial port', 'warn') - lines).toBeLessThanOrEqual(2);
    await link.modem.plug();
    await link.up();
    await link.roundTrip('after');
    expect(link.recording.withMessage('modem down')).toHaveLength(1);
    expect(link.recording.withMessage('modem up')).toHaveLength(2);
  });

  test('is used once it stays after appearing and disappearing faster than a bring-up', async () => {
    const link = await startLink();
    for (const ms of [30, 100, 300, 1000]) {
      await link.modem.unplug();
      await expect.poll(link.isUp).toBe(false);
      await link.modem.plug();
      await pause(ms);
    }
    await link.up();
    await link.roundTrip('after');
  });
});
