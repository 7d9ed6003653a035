import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { temporaryFolder } from './files.js';

/** Compiles what ends a program by SIGKILL at one of its writes: see kill-at.c. */
export async function makeKiller() {
  const folder = temporaryFolder();
  const library = join(folder, 'kill-at.so');
  const source = join('test', 'support', 'kill-at.c');
  await promisify(execFile)('cc', ['-shared', '-fPIC', '-O2', '-o', library, source]);

  /** @param at just before which write the program is ended, from 1; 0 for never */
  return function killAt(at: number) {
    const file = join(folder, randomUUID());
    writeFileSync(file, Buffer.alloc(8));
    return {
      /** Environment variables of the program. */
      env: { LD_PRELOAD: library, KILL_AT: `${at}`, KILL_AT_COUNT: file },
      /** How many writes it has begun. */
      writes: () => Number(readFileSync(file).readBigInt64LE()),
    };
  };
}

export type KillAt = Awaited<ReturnType<typeof makeKiller>>;
