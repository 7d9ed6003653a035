import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { messageOf } from '../../shared/errors.js';
import { killBeforeAgent } from '../base/oom-score.js';
import { requireDescriptors } from '../base/shortage.js';
import { EXPIRED, isPast, NotStartedError } from './not-started.js';
import { restWhenCongested, startInTurn } from './pace.js';
import { keepHead, keepTail } from './stdio.js';
import type { UserIds } from './user-ids.js';

const STDERR_KEPT_BYTES = 4096;
/** Time from SIGTERM to SIGKILL. */
const KILL_GRACE_MS = 2000;
/** How long to wait for output after the exit: a process that left the group may keep the pipes open. */
const DRAIN_GRACE_MS = 250;

export interface ProcessOptions {
  readonly file: string;
  /** argv[0]: some programs depend on it (systemctl as reboot, busybox). */
  readonly argv0: string;
  readonly args: readonly string[];
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly ids: UserIds | undefined;
  readonly input: string | Uint8Array;
  /** How many bytes of stdout are kept; the rest is read and discarded. */
  readonly outputBytes: number;
  /** Kills the process group: SIGTERM, after 2 s SIGKILL. */
  readonly signal: AbortSignal;
  /** Unix time in seconds after which it must not start: it may have to wait for its start. */
  readonly deadline?: number | undefined;
}

export interface ProcessResult {
  /** null when a signal killed it. */
  readonly code: number | null;
  readonly killedBy: NodeJS.Signals | undefined;
  readonly stdout: Buffer;
  /** Number of bytes written to stdout. */
  readonly stdoutTotal: number;
  /** The last 4096 bytes of stderr. */
  readonly stderr: Buffer;
}

/**
 * Runs a program in a process group of its own and waits for its exit. Processes of the group that are left are killed.
 * On a busy agent it may have to wait for its start, as programs are started at a pace.
 *
 * @throws (rejects) NotStartedError when it cannot be started
 */
export const runProcess = (options: ProcessOptions): Promise<ProcessResult> => startInTurn(() => run(options));

function run(options: ProcessOptions): Promise<ProcessResult> {
  return new Promise((resolve, reject) => {
    options.signal.throwIfAborted();
    if (options.deadline !== undefined && isPast(options.deadline, Date.now())) {
      throw new NotStartedError(undefined, EXPIRED.message, EXPIRED.code);
    }
    const child = start(options);
    if (child.pid === undefined) {
      child.once('error', (error) => reject(notStarted(options, error)));
      return;
    }
    killBeforeAgent(child.pid);
    const abort = () => killGroup(child);
    alive.add(child);
    const stdout = keepHead(child.stdout, options.outputBytes);
    const stderr = keepTail(child.stderr, STDERR_KEPT_BYTES);
    for (const output of [child.stdout, child.stderr]) restWhenCongested(output);
    // A program need not read its input.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input);
    options.signal.addEventListener('abort', abort, { once: true });

    child.once('exit', (code, signal) => {
      options.signal.removeEventListener('abort', abort);
      const drained = setTimeout(finish, DRAIN_GRACE_MS);
      child.once('close', finish);
      function finish() {
        clearTimeout(drained);
        child.removeListener('close', finish);
        child.stdout.destroy();
        child.stderr.destroy();
        alive.delete(child);
        killGroup(child);
        resolve({
          code,
          killedBy: signal ?? undefined,
          stdout: stdout.bytes(),
          stdoutTotal: stdout.total(),
          stderr: stderr.bytes(),
        });
      }
    });
  });
}

/**
 * @returns the child; without a pid when it could not be started, which an `error` event tells
 * @throws NotStartedError when that is known at once
 */
function start(options: ProcessOptions): ChildProcessWithoutNullStreams {
  try {
    requireDescriptors();
    return spawn(options.file, options.args, {
      argv0: options.argv0,
      cwd: options.directory,
      env: options.environment,
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      ...options.ids,
    });
  } catch (error) {
    throw notStarted(options, error);
  }
}

const notStarted = ({ file, directory }: ProcessOptions, error: unknown) =>
  new NotStartedError(error, `cannot start ${file} in ${directory}: ${messageOf(error)}`);

/** Running children. */
const alive = new Set<ChildProcess>();
/** Children that were sent SIGTERM, before SIGKILL. */
const ending = new Set<ChildProcess>();

// No child outlives the agent, even when it crashes.
process.once('exit', () => {
  for (const child of [...alive, ...ending]) signalGroup(child, 'SIGKILL');
});

/** Sends SIGTERM to the child's process group, and SIGKILL after the grace period. */
function killGroup(child: ChildProcess): void {
  if (!signalGroup(child, 'SIGTERM') || ending.has(child)) return;
  ending.add(child);
  setTimeout(() => {
    ending.delete(child);
    signalGroup(child, 'SIGKILL');
  }, KILL_GRACE_MS).unref();
}

/** @returns whether the group still exists */
function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): boolean {
  if (pid === undefined || pid <= 1) return false;
  try {
    process.kill(-pid, signal);
    return true;
  } catch {
    return false;
  }
}
