import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { type HttpIo, realIo } from '../api/http.js';
import { reportError } from './exit.js';

type MaybeTerminal = { readonly isTTY?: boolean | undefined };

/** The streams and variables of a command line; tests pass their own. */
export interface CliIo {
  readonly env: NodeJS.ProcessEnv;
  readonly stdin: Readable & MaybeTerminal;
  readonly stdout: Writable & MaybeTerminal & { readonly columns?: number | undefined };
  readonly stderr: Writable & MaybeTerminal;
  readonly sleep: HttpIo['sleep'];
}

/** Returns the process's own. From now on, a reader that closes the pipe (`supersim list | head`) ends the process. */
export function processIo(): CliIo {
  const { env, stdin, stdout, stderr } = process;
  // Where pipes are written asynchronously (macOS), the error is emitted after `print` has returned.
  if (!stdout.listeners('error').includes(endProcess)) stdout.on('error', endProcess);
  return { env, stdin, stdout, stderr, sleep: realIo.sleep };
}

function endProcess(error: Error): void {
  process.exit(reportError(error));
}

/** Prints a line, and waits for a slow reader. */
export async function print(stream: Writable, line: string): Promise<void> {
  if (!stream.write(`${line}\n`)) await once(stream, 'drain');
}
