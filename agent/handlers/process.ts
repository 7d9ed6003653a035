import { type ChildProcess, spawn } from 'node:child_process';
import { keepHead, keepTail } from './stdio.js';
import type { UserIds } from './user.js';

const STDERR_KEPT_BYTES = 4096;
/** From SIGTERM to SIGKILL. */
const KILL_GRACE_MS = 2000;
/**
 * How long output is awaited after the program has ended: something that left its group may hold the pipes for ever.
 */
const DRAIN_GRACE_MS = 250;

export interface ProcessOptions {
  readonly file: string;
  /** Its argv[0]: what some programs do depends on the name that they are called by (systemctl as reboot, busybox). */
  readonly calledAs: string;
  readonly args: readonly string[];
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly ids: UserIds | undefined;
  readonly input: string | Uint8Array;
  /** How much of stdout is kept; the rest is read and thrown away. */
  readonly outputBytes: number;
  /** Ends the whole process group: SIGTERM, and after 2 s SIGKILL. */
  readonly signal: AbortSignal;
}

export interface Finished {
  /** null when a signal ended it. */
  readonly code: number | null;
  readonly killedBy: NodeJS.Signals | undefined;
  readonly stdout: Buffer;
  /** How much it wrote in all. */
  readonly stdoutTotal: number;
  /** The last 4096 bytes of stderr. */
  readonly stderr: Buffer;
}

/**
 * Runs a program in a process group of its own and waits until it has ended. Whatever of the group is left then is
 * ended too.
 *
 * @throws (rejects) Error when it cannot be started
 */
export function runProcess(options: ProcessOptions): Promise<Finished> {
  return new Promise((resolve, reject) => {
    options.signal.throwIfAborted();
    const child = spawn(options.file, options.args, {
      argv0: options.calledAs,
      cwd: options.directory,
      env: options.environment,
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      ...options.ids,
    });
    const abort = () => endGroup(child);
    child.once('error', (error) => {
      options.signal.removeEventListener('abort', abort);
      reject(new Error(`cannot start ${options.file} in ${options.directory}: ${error.message}`, { cause: error }));
    });
    // There are no pipes when the agent has too many files open; the event above says so.
    if (child.stdout === undefined) return;
    alive.add(child);
    const stdout = keepHead(child.stdout, options.outputBytes);
    const stderr = keepTail(child.stderr, STDERR_KEPT_BYTES);
    // A program that does not read its input, or has ended, is no failure.
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
        endGroup(child);
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

/** Those that run. */
const alive = new Set<ChildProcess>();
/** Those that have got SIGTERM and may have SIGKILL before them. */
const ending = new Set<ChildProcess>();

// Nothing outlives the process: neither what runs when it crashes, nor what it has told to end and did not wait for.
process.once('exit', () => {
  for (const child of [...alive, ...ending]) signalGroup(child, 'SIGKILL');
});

/** Sends SIGTERM to the child's process group, and later SIGKILL to what is left of it. */
function endGroup(child: ChildProcess): void {
  if (!signalGroup(child, 'SIGTERM') || ending.has(child)) return;
  ending.add(child);
  setTimeout(() => {
    ending.delete(child);
    signalGroup(child, 'SIGKILL');
  }, KILL_GRACE_MS).unref();
}

/** @returns whether anything of the group was left */
function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): boolean {
  if (pid === undefined || pid <= 1) return false;
  try {
    process.kill(-pid, signal);
    return true;
  } catch {
    return false;
  }
}
