import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { createLineWriter } from '../../../../agent/cli/run/line-writer.js';
import { temporaryFolder } from '../../../support/files.js';

const explainDrops = (lines: number) => `${lines} lines dropped\n`;

function open(path: string, flags: string | number): number {
  const fd = openSync(path, flags);
  onTestFinished(() => closeSync(fd));
  return fd;
}

/** A named pipe; reading from it does not wait, writing to it does. */
function pipe(): { read: number; write: number } {
  const path = join(temporaryFolder(), 'pipe');
  execFileSync('mkfifo', [path]);
  return { read: open(path, constants.O_RDONLY | constants.O_NONBLOCK), write: open(path, 'w') };
}

it('createLineWriter writes lines of any length in order', async () => {
  const path = join(temporaryFolder(), 'log');
  const writer = createLineWriter(open(path, 'w'), explainDrops);
  const lines = Array.from({ length: 1000 }, (_, index) => `${index} ${'ä'.repeat(index % 50)}\n`);
  for (const line of lines.slice(0, 500)) writer.write(line);
  await writer.flush();
  for (const line of lines.slice(500)) writer.write(line);
  await writer.flush();
  expect(readFileSync(path, 'utf8')).toBe(lines.join(''));
});

it('createLineWriter drops lines while the reader is too slow, and writes their number later', async () => {
  const { read, write } = pipe();
  const writer = createLineWriter(write, explainDrops);
  const line = `${'x'.repeat(999)}\n`;
  const written = 2000;
  for (let count = 0; count < written; count++) writer.write(line);
  // While a line is written its worst case is reckoned with: 3 bytes for each of its characters.
  const kept = Math.floor((262_144 - line.length * 3) / line.length) + 1;
  let text = '';
  const readUntil = (length: number) =>
    vi.waitFor(
      () => {
        const chunk = Buffer.alloc(65_536);
        text += chunk.toString('utf8', 0, readSync(read, chunk));
        expect(text.length).toBeGreaterThanOrEqual(length);
      },
      { timeout: 5000, interval: 1 },
    );
  await readUntil(kept * line.length);
  await writer.flush();
  writer.write('again\n');
  const end = `${written - kept} lines dropped\nagain\n`;
  await readUntil(kept * line.length + end.length);
  expect(text).toBe(line.repeat(kept) + end);
});

it('createLineWriter flushes synchronously at the exit', () => {
  const path = join(temporaryFolder(), 'log');
  const writer = createLineWriter(open(path, 'w'), explainDrops);
  writer.write('last words\n');
  writer.flushSync();
  expect(readFileSync(path, 'utf8')).toBe('last words\n');
});

it('createLineWriter neither throws nor loops when the reader is gone', async () => {
  const writer = createLineWriter(open('/dev/full', 'w'), explainDrops);
  writer.write('lost\n');
  await writer.flush();
  writer.write('lost too\n');
  expect(() => writer.flushSync()).not.toThrow();
});
