import { expect, test } from 'vitest';
import { createWire } from '../../../../loopback/modem/tty/wire.js';
import { testClock } from '../support.js';

function pacedWire(baud: number) {
  const { clock, pass } = testClock();
  const arrived: { at: number; bytes: number }[] = [];
  const wire = createWire(baud, clock, (bytes) => void arrived.push({ at: clock.now(), bytes: bytes.length }));
  return { wire, pass, arrived, total: () => arrived.reduce((sum, { bytes }) => sum + bytes, 0), now: clock.now };
}

test('without a speed bytes arrive at once', () => {
  const { wire, arrived } = pacedWire(0);
  wire.send(Buffer.alloc(1300));
  expect(arrived).toEqual([{ at: 0, bytes: 1300 }]);
});

test.each([
  [115_200, 1300, 112.85],
  [9600, 96, 100],
  [300, 3, 100],
])('%i baud: %i bytes take %d ms', (baud, bytes, ms) => {
  const { wire, pass, arrived, total } = pacedWire(baud);
  wire.send(Buffer.alloc(bytes));
  pass(ms - 1.5);
  expect(total()).toBeLessThan(bytes);
  pass(3);
  expect(total()).toBe(bytes);
  expect(arrived.at(-1)?.at).toBeGreaterThan(ms - 1);
  expect(wire.waiting()).toBe(0);
});

test('never more bytes arrive than the line can carry, however they were written', () => {
  const { wire, pass, total, now } = pacedWire(9600);
  for (let step = 0; step < 200; step += 1) {
    if (step % 7 === 0) wire.send(Buffer.alloc(5));
    pass(3.3);
    expect(total()).toBeLessThanOrEqual(now() * 0.96 + 1e-6);
  }
  pass(100);
  expect(total()).toBe(29 * 5);
});

test('a late timer does not slow the line down', () => {
  const tasks: (() => void)[] = [];
  let time = 0;
  let total = 0;
  const clock = {
    now: () => time,
    after(_: number, task: () => void) {
      tasks.push(task);
      return () => undefined;
    },
  };
  const wire = createWire(9600, clock, (bytes) => {
    total += bytes.length;
  });
  wire.send(Buffer.alloc(96));
  time = 50;
  tasks.shift()?.();
  expect(total).toBe(48);
  time = 100;
  tasks.shift()?.();
  expect(total).toBe(96);
});

test('cleared bytes do not arrive', () => {
  const { wire, pass, arrived } = pacedWire(9600);
  wire.send(Buffer.alloc(10));
  wire.clear();
  pass(100);
  expect(arrived).toEqual([]);
  wire.send(Buffer.alloc(1));
  pass(100);
  expect(arrived).toHaveLength(1);
});
