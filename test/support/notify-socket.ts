import { join, resolve } from 'node:path';
import { expect } from 'vitest';
import * as z from 'zod';
import { temporaryFolder } from './files.js';
import { PYTHON } from './needs.js';
import { startProcess } from './process.js';

const LISTENER = resolve('test/support/notify-listener.py');

const heardSchema = z.object({ pid: z.int(), lines: z.array(z.string()) });

/** A NOTIFY_SOCKET, and what the real `systemd-notify` tells it. Needs python3. */
export async function listenToNotices() {
  const path = join(temporaryFolder(), 'notify.sock');
  const listener = startProcess(PYTHON, [LISTENER, path]);
  await listener.line(/^listening$/);
  const heard = () =>
    listener
      .output()
      .split('\n')
      .slice(1)
      .map((line) => heardSchema.parse(JSON.parse(line)));
  const messages = () => heard().map(({ lines }) => lines);
  return {
    path,
    /** Each message's lines, in their order. */
    messages,
    /** The pids that the messages came from. */
    pids: () => [...new Set(heard().map(({ pid }) => pid))],
    /** How many messages there are that have this line. */
    count: (line: string) => messages().filter((lines) => lines.includes(line)).length,
    /** The last status. */
    status: () =>
      messages()
        .flat()
        .findLast((line) => line.startsWith('STATUS=')),
    /** Waits until there are so many messages that have this line. */
    times: (line: string, count: number, timeout = 10_000) =>
      expect
        .poll(() => messages().filter((lines) => lines.includes(line)).length, { timeout, interval: 20 })
        .toBeGreaterThanOrEqual(count),
  };
}
