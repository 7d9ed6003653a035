import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, closeSync, copyFileSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { temporaryFolder } from './files.js';

/** Starts a program of this name that has the terminal open without a lock. */
export async function openBy(name: string, device: string): Promise<number> {
  const program = join(temporaryFolder(), name);
  copyFileSync('/bin/sleep', program);
  chmodSync(program, 0o755);
  const fd = openSync(device, 'r+');
  const child = spawn(program, ['60'], { stdio: [fd, 'ignore', 'ignore'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child, 'spawn');
  closeSync(fd);
  return child.pid ?? 0;
}
