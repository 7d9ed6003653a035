import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { openTty } from '../../../../loopback/modem/tty/pty.js';
import { openPort } from '../port.js';

const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
const PATIENCE_MS = 5000;

/** A terminal, closed at the end of the test if it is not by then. */
async function open() {
  const heard: Buffer[] = [];
  let lost = 0;
  const tty = await openTty({
    onData: (bytes) => void heard.push(bytes),
    onLost: () => {
      lost += 1;
    },
  });
  onTestFinished(() => tty.close());
  return { tty, heard: () => Buffer.concat(heard), lost: () => lost };
}

async function until(holds: () => boolean): Promise<void> {
  await vi.waitFor(() => expect(holds()).toBe(true), { timeout: PATIENCE_MS, interval: 5 });
}

describe('bytes', () => {
  test('all values come through unchanged, both ways, without any setting up', async () => {
    const { tty, heard } = await open();
    const port = openPort(tty.path);
    port.write(ALL_BYTES);
    await until(() => heard().length >= 256);
    expect(heard()).toEqual(ALL_BYTES);
    tty.write(ALL_BYTES);
    expect(await port.readAll(256)).toEqual(ALL_BYTES);
    await pause(50);
    // No echo of either.
    expect(port.read()).toEqual(Buffer.alloc(0));
    expect(heard()).toHaveLength(256);
    port.close();
  });

  test('more than the terminal holds waits for the reader, and blocks nobody', async () => {
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

  test('the terminal outlives those who open it; what is drained nobody reads', async () => {
    const { tty, heard, lost } = await open();
    const first = openPort(tty.path);
    first.write(Buffer.from('one'));
    await until(() => heard().length === 3);
    first.close();
    tty.write(Buffer.from('stale'));
    await pause(50);
    tty.drain();
    const second = openPort(tty.path);
    tty.write(Buffer.from('fresh'));
    expect(String(await second.readAll(5))).toBe('fresh');
    second.write(Buffer.from('two'));
    await until(() => heard().length === 6);
    second.close();
    expect(lost()).toBe(0);
  });
});

describe('the end', () => {
  test('the path is gone, whoever had it open reads its end, the holder has ended', async () => {
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

  test('a holder that ends by itself is noticed', async () => {
    const { tty, lost } = await open();
    process.kill(tty.holder, 'SIGKILL');
    await until(() => lost() === 1);
    expect(existsSync(tty.path)).toBe(false);
  });

  test('nobody else is ever signalled, and an unrelated process lives on', async () => {
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
