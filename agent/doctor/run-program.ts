import { execFile } from 'node:child_process';
import { messageOf, systemCodeOf } from '../../shared/errors.js';

const TIMEOUT_MS = 8000;
const MAX_BYTES = 1024 * 1024;
/** Folders that only root's PATH has. */
const SYSTEM_FOLDERS = '/usr/sbin:/sbin';

/** Result of an external program. */
export interface ProgramResult {
  /** Undefined when it succeeded; else the reason, on one line. */
  readonly failed?: string;
  /** The program is not installed. */
  readonly missing?: true;
  /** Its output, also when it failed; cut at `maxBytes`. */
  readonly stdout: string;
}

/** Runs an external program with a time-out, bounded output and empty stdin. Never rejects. */
export function runProgram(
  file: string,
  args: readonly string[],
  { timeoutMs = TIMEOUT_MS, maxBytes = MAX_BYTES } = {},
): Promise<ProgramResult> {
  const env = { ...process.env, LC_ALL: 'C', PATH: `${process.env['PATH'] ?? '/usr/bin:/bin'}:${SYSTEM_FOLDERS}` };
  const options = { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: maxBytes, env } as const;
  return new Promise((resolve) => {
    const child = execFile(file, args, options, (error, stdout, stderr) => {
      if (error === null || systemCodeOf(error) === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') resolve({ stdout });
      else if (systemCodeOf(error) === 'ENOENT') resolve({ failed: `${file} is not installed`, missing: true, stdout });
      else if (error.killed) resolve({ failed: `${file} did not finish within ${timeoutMs / 1000} s`, stdout });
      else resolve({ failed: `${file}: ${firstLine(stderr) ?? messageOf(error)}`, stdout });
    });
    child.stdin?.end();
  });
}

const firstLine = (text: string): string | undefined =>
  text
    .split('\n')
    .map((line) => line.trim())
    .find((line) => line !== '');
