import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { systemdRoot } from './debian-root.js';
import { type Running, startProcess } from './process.js';

const BOOT_MS = 20_000;
const STOP_MS = 10_000;
const RUN_MS = 30_000;
const MAX_OUTPUT_BYTES = 10_000_000;

/** How long a hook may take that boots a box: its root may have to be made first. */
export const BOX_TIMEOUT_MS = 400_000;

export interface RunOptions {
  /** Name of a user of the box; root by default. */
  readonly user?: string;
  readonly input?: string | Uint8Array;
  /** After this it is killed; 30 s by default. */
  readonly timeoutMs?: number;
}

export interface BoxResult {
  /** The exit code; above 128 the number of the signal that ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A machine with Debian 13 and its systemd, made of namespaces: users, files, devices and network are its own. */
export type SystemdBox = Awaited<ReturnType<typeof bootBox>>;

/**
 * Boots a box, in about a second once its root is made. Its network is a loopback interface that is up; `ip` makes
 * more. Memory and task bounds need not be enforced there. It ends, with all in it, by `stop`, and with this process.
 * Needs root, unshare and mmdebstrap.
 */
export async function bootBox(root?: string) {
  const lower = root ?? (await systemdRoot());
  const stderr: string[] = [];
  // Detached, so that Ctrl-C leaves it the time to tidy up, which it does when its stdin ends.
  const keeper = spawn(resolve('test/support/systemd-box.sh'), [lower], { stdio: 'pipe', detached: true });
  keeper.stderr.on('data', (chunk: Buffer) => stderr.push(chunk.toString()));
  keeper.stdin.on('error', () => undefined);
  const stop = () => endKeeper(keeper);
  const pid = await firstLine(keeper);
  const state = pid === undefined ? 'it ended' : await stateOnceBooted(pid);
  if (pid === undefined || state !== 'running') {
    await stop();
    throw new Error(`the box did not boot: ${state}\n${stderr.join('')}`);
  }

  /** Where a file of the box is to be found from outside. */
  const path = (file: string) => `/proc/${pid}/root${file}`;

  const run = async (argv: readonly string[], options: RunOptions = {}): Promise<BoxResult> => {
    const [command = '', ...args] = enter(pid, argv, options.user);
    const child = spawn(command, args, { stdio: 'pipe' });
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? RUN_MS);
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input);
    const outputs = [gather(child.stdout), gather(child.stderr)];
    const [code, signal] = await once(child, 'close');
    clearTimeout(timer);
    const [out = '', err = ''] = outputs.map((output) => output());
    if (signal !== null) throw new Error(`${argv.join(' ')} did not end in its time\n${out}${err}`);
    return { code, stdout: out, stderr: err };
  };

  return {
    /** Runs a program inside, with an environment of its own, and waits for its end. */
    run,
    /**
     * The same for what has to succeed.
     *
     * @returns its stdout without the last line break
     * @throws Error with what it printed, when its exit code is not 0
     */
    async done(argv: readonly string[], options?: RunOptions): Promise<string> {
      const { code, stdout, stderr } = await run(argv, options);
      if (code !== 0) throw new Error(`${argv.join(' ')} ended with ${code}\n${stdout}${stderr}`);
      return stdout.replace(/\n$/, '');
    },
    /** Starts a program inside, which ends with the test. */
    start: (argv: readonly string[], user?: string): Running => {
      const [command = '', ...args] = enter(pid, argv, user);
      return startProcess(command, args);
    },
    path,
    /** Copies a file or a folder's contents into the box, as root's; links become what they lead to. */
    async copy(from: string, to: string): Promise<void> {
      mkdirSync(dirname(path(to)), { recursive: true });
      await promisify(execFile)('cp', ['-RLT', '--preserve=mode', from, path(to)]);
    },
    read: (file: string) => readFileSync(path(file), 'utf8'),
    /** Writes a file, as root's, in a folder that is made if need be. */
    write(file: string, text: string, mode = 0o644): void {
      mkdirSync(dirname(path(file)), { recursive: true });
      writeFileSync(path(file), text, { mode });
    },
    /** The messages of a unit, oldest first. */
    journal: async (unit: string) =>
      (await run(['journalctl', '--no-pager', '--output=cat', `--unit=${unit}`])).stdout.split('\n').slice(0, -1),
    stop,
  };
}

/** The command that runs another in the box; the other ends with it. */
function enter(pid: string, argv: readonly string[], user = 'root'): string[] {
  const entry = readFileSync(`/proc/${pid}/root/etc/passwd`, 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find(([name]) => name === user);
  if (entry === undefined) throw new Error(`the box has no user ${user}`);
  const [, , uid = '', gid = '', , home = ''] = entry;
  return [
    ...['nsenter', `--target=${pid}`, '--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup', '--root', '--wd'],
    ...['--', 'setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--init-groups', '--pdeathsig=KILL'],
    ...['env', '-i', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin', 'LANG=C.UTF-8', `HOME=${home}`],
    ...argv,
  ];
}

function gather(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let length = 0;
  stream.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length <= MAX_OUTPUT_BYTES) chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString();
}

/** @returns undefined where there is none */
async function firstLine({ stdout }: { stdout: NodeJS.ReadableStream }): Promise<string | undefined> {
  const timer = AbortSignal.timeout(BOOT_MS);
  const lines = createInterface({ input: stdout, signal: timer });
  for await (const line of lines) return line;
  return undefined;
}

/** What systemctl says of the system once that has started, or when it has not in its time. */
async function stateOnceBooted(pid: string): Promise<string> {
  const [command = '', ...args] = enter(pid, ['systemctl', 'is-system-running', '--wait']);
  const until = performance.now() + BOOT_MS;
  for (;;) {
    const state = await new Promise<string>((settle) => {
      execFile(command, args, { timeout: BOOT_MS }, (_error, stdout, stderr) => settle((stdout + stderr).trim()));
    });
    if (['running', 'degraded'].includes(state) || performance.now() > until) return state;
    await new Promise((next) => setTimeout(next, 20));
  }
}

async function endKeeper(keeper: ChildProcess): Promise<void> {
  keeper.stdin?.end();
  if (keeper.exitCode !== null || keeper.signalCode !== null) return;
  await once(keeper, 'exit', { signal: AbortSignal.timeout(STOP_MS) });
}
