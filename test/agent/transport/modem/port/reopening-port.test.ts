import { symlinkSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createReopeningPort } from '../../../../../agent/transport/modem/port/reopening-port.js';
import { recordingLog } from '../../../../support/log.js';
import { needs } from '../../../../support/needs.js';
import { linkPath, openPty } from '../../../../support/pty.js';

/** Opens a reopening port until the end of the test, and records its events in order. */
function keep(path: string) {
  const recording = recordingLog();
  const events: string[] = [];
  const chunks: Buffer[] = [];
  const port = createReopeningPort(
    { path, baudRate: 115_200, flowControl: 'none' },
    {
      opened: (device) => events.push(`opened ${device}`),
      down: ({ code }) => events.push(code),
      data: (bytes) => chunks.push(bytes),
    },
    recording.log,
  );
  onTestFinished(() => port.close());
  // The events are part of the comparison, so that a time-out shows them.
  const until = (fits: () => boolean) =>
    expect.poll(() => (fits() ? 'fits' : events.join(', ')), { interval: 20 }).toBe('fits');
  return {
    port,
    recording,
    events,
    data: () => Buffer.concat(chunks).toString(),
    until,
    opened: (times: number) => until(() => events.filter((event) => event.startsWith('opened')).length >= times),
  };
}

describe.skipIf(needs('python3'))('a reopening serial port', () => {
  it('waits for a missing device with growing delays, and logs the reason once', async () => {
    const link = linkPath();
    const { port, recording, events, opened, until } = keep(link);
    await until(() => events.length >= 3);
    await expect(port.write(Buffer.from('AT\r'))).rejects.toMatchObject({ code: 'modem-port-lost' });
    const lines = recording.withMessage('no serial port');
    expect(lines.slice(0, 3).map(({ level }) => level)).toEqual(['warn', 'debug', 'debug']);
    for (const [round, most] of [250, 500, 1000].entries()) {
      const wait = Number(lines[round]?.details['retryMs']);
      expect(wait).toBeGreaterThanOrEqual(Math.floor(most / 2));
      expect(wait).toBeLessThanOrEqual(most);
    }
    const pty = await openPty(link);
    await opened(1);
    expect(events.at(-1)).toBe(`opened ${pty.device}`);
    expect(new Set(events.slice(0, -1))).toEqual(new Set(['modem-port-missing']));
  });

  it('reopens after it was unplugged, also as another device', async () => {
    const link = linkPath();
    const first = await openPty(link);
    const { port, events, opened, until, data } = keep(link);
    await opened(1);
    // The first one still exists, so this is another device.
    const second = await openPty(linkPath());
    const other = await openPty(linkPath());
    await first.vanish();
    await until(() => events.includes('modem-port-lost'));
    symlinkSync(second.device, link);
    await opened(2);
    expect(events.at(-1)).toBe(`opened ${second.device}`);
    second.send('RDY');
    await until(() => data() === 'RDY');
    await port.write(Buffer.from('AT\r'));
    expect((await second.receive(3)).toString()).toBe('AT\r');
    expect(other.received()).toHaveLength(0);
  });

  it('reopens on demand', async () => {
    const link = linkPath();
    const pty = await openPty(link);
    const { port, events, opened } = keep(link);
    port.reopen('not open yet: nothing to do');
    await opened(1);
    port.reopen('the modem makes no sense');
    await opened(2);
    expect(events).toEqual([`opened ${pty.device}`, 'modem-port-lost', `opened ${pty.device}`]);
    await port.write(Buffer.from('AT\r'));
    expect((await pty.receive(3)).toString()).toBe('AT\r');
  });

  it('does not reopen after it was closed at any moment', async () => {
    const link = linkPath();
    await openPty(link);
    for (let moment = 0; moment < 10; moment++) {
      const { port, events } = keep(link);
      await new Promise((resolve) => setTimeout(resolve, moment * 3));
      await port.close();
      const before = events.length;
      await port.close();
      await new Promise((resolve) => setTimeout(resolve, 30));
      expect(events).toHaveLength(before);
    }
    // The lock is released.
    const { opened, events } = keep(link);
    await opened(1);
    expect(events).toHaveLength(1);
  });
});
