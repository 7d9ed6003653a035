import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { onTestFinished } from 'vitest';
import { WAIT_MS } from './wait.js';

const END_MS = 5000;

/** A built program; `npm ci` builds it. */
export function program(name: 'supersim-agent' | 'supersim' | 'start'): string {
  const file = resolve('dist', 'bin', `${name}.js`);
  if (!existsSync(file)) throw new Error(`${file} is not there: run npm run build`);
  return file;
}

/** A process under test: what it printed, and how it ended. */
export interface Running {
  readonly pid: number;
  /** All that it printed on stdout and stderr so far. */
  output(): string;
  /** Waits until a line of its output fits, 30 s by default; fails with the whole output when none comes. */
  line(fits: RegExp, waitMs?: number): Promise<string>;
  kill(signal: NodeJS.Signals): void;
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
}

/** Starts a process; it is ended, by its pid, when the test has finished. */
export function startProcess(file: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Running {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
  const lines: string[] = [];
  const watchers = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      for (const watcher of watchers) watcher();
    });
  }
  const ended = new Promise<number | NodeJS.Signals>((settle, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => settle(code ?? signal ?? -1));
  });
  onTestFinished(() => end(child));
  return {
    pid: child.pid ?? 0,
    output: () => lines.join('\n'),
    kill: (signal) => void child.kill(signal),
    ended,
    line: waitForLine,
  };

  function waitForLine(fits: RegExp, waitMs = WAIT_MS): Promise<string> {
    return new Promise((settle, reject) => {
      const look = () => {
        const found = lines.find((line) => fits.test(line));
        if (found !== undefined) finish(() => settle(found));
      };
      const fail = (why: string) =>
        finish(() => reject(new Error(`no line fits ${fits}: ${why}\n${lines.join('\n')}`)));
      const timer = setTimeout(() => fail(`waited ${waitMs} ms`), waitMs);
      const finish = (then: () => void) => {
        clearTimeout(timer);
        watchers.delete(look);
        then();
      };
      watchers.add(look);
      look();
      ended.then(
        (how) => fail(`it ended with ${how}`),
        (error: unknown) => fail(String(error)),
      );
    });
  }
}

/** Runs a process to its end. */
export async function runProcess(file: string, args: readonly string[], env?: NodeJS.ProcessEnv) {
  const running = startProcess(file, args, env);
  const code = await running.ended;
  return { code, output: running.output() };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), END_MS);
  await exited;
  clearTimeout(timer);
}
