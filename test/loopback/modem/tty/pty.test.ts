import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { openTty } from '../../../../loopback/modem/tty/pty.js';
import { WAIT_MS } from '../../../support/wait.js';
import { openPort } from '../port.js';

const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

/** Opens a terminal, which is closed at the end of the test. */
async function open() {
  const chunks: Buffer[] = [];
  let lost = 0;
  const tty = await openTty({
    onData: (bytes) => void chunks.push(bytes),
    onLost: () => {
      lost += 1;
    },
  });
  onTestFinished(() => tty.close());
  return { tty, received: () => Buffer.concat(chunks), lost: () => lost };
}

/** Waits until `value` is as expected; a time-out shows the value. */
const until = (value: () => unknown, expected: unknown) =>
  vi.waitFor(() => expect(value()).toEqual(expected), { timeout: WAIT_MS, interval: 5 });

describe('the bytes of a terminal', () => {
  test('pass unchanged in both directions without any set-up, whatever their values', async () => {
    const { tty, received } = await open();
    const port = openPort(tty.path);
    port.write(ALL_BYTES);
    await until(received, ALL_BYTES);
    tty.write(ALL_BYTES);
    expect(await port.readAll(256)).toEqual(ALL_BYTES);
    await pause(50);
    // No echo of either.
    expect(port.read()).toEqual(Buffer.alloc(0));
    expect(received()).toHaveLength(256);
    port.close();
  });

  test('wait for their reader without blocking when the terminal is full', async () => {
    const { tty } = await open();
    const port = openPort(tty.path);
    const lots = Buffer.concat(Array.from({ length: 160 }, () => ALL_BYTES));
    const before = performance.now();
    tty.write(lots);
    expect(performance.now() - before).toBeLessThan(500);
    const read = await port.readAll(lots.length);
    expect(read.equals(lots)).toBe(true);
    port.close();
  });

  test('survive programs that open and close it, until they are drained', async () => {
    const { tty, received, lost } = await open();
    const first = openPort(tty.path);
    first.write(Buffer.from('one'));
    await until(() => String(received()), 'one');
    first.close();
    tty.write(Buffer.from('stale'));
    await pause(50);
    tty.drain();
    const second = openPort(tty.path);
    tty.write(Buffer.from('fresh'));
    expect(String(await second.readAll(5))).toBe('fresh');
    second.write(Buffer.from('two'));
    await until(() => String(received()), 'onetwo');
    second.close();
    expect(lost()).toBe(0);
  });
});

describe('closing a terminal', () => {
  test('removes the path, ends the holder, and ends the input of programs that have it open', async () => {
    const { tty, lost } = await open();
    const port = openPort(tty.path);
    expect(process.kill(tty.holder, 0)).toBe(true);
    await tty.close();
    expect(existsSync(tty.path)).toBe(false);
    expect(port.read()).toBeUndefined();
    expect(() => process.kill(tty.holder, 0)).toThrow(expect.objectContaining({ code: 'ESRCH' }));
    expect(lost()).toBe(0);
    tty.write(Buffer.from('late'));
    await tty.close();
    port.close();
  });

  test('is reported when the holder ends unexpectedly', async () => {
    const { tty, lost } = await open();
    // While it is open here, no other program's terminal gets its path.
    openPort(tty.path);
    process.kill(tty.holder, 'SIGKILL');
    await until(lost, 1);
    expect(existsSync(tty.path)).toBe(false);
  });

  test('signals only the holder, and no unrelated process', async () => {
    const bystander = spawn('sleep', ['60'], { stdio: 'ignore' });
    await once(bystander, 'spawn');
    onTestFinished(() => void bystander.kill('SIGKILL'));
    const kill = vi.spyOn(process, 'kill');
    onTestFinished(() => kill.mockRestore());
    const holders: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      const { tty } = await open();
      holders.push(tty.holder);
      const port = openPort(tty.path);
      port.write(Buffer.from('AT\r'));
      if (round % 2 === 0) port.close();
      await tty.close();
      if (round % 2 === 1) port.close();
    }
    const signalled = kill.mock.calls.map(([pid]) => pid);
    expect(signalled).toEqual(holders);
    expect(Math.min(...signalled)).toBeGreaterThan(1);
    expect(isAlive(bystander)).toBe(true);
  });
});

const isAlive = ({ exitCode, signalCode }: ChildProcess) => exitCode === null && signalCode === null;
