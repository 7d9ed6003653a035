import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { environment } from '../agent/cli/support.js';

const NOBODY = 65_534;

/** Runs Node as a user without rights; needs root. */
export async function runAsNobody(args: readonly string[]) {
  const child = spawn(process.execPath, args, {
    uid: NOBODY,
    gid: NOBODY,
    env: environment(),
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: 15_000,
  });
  const code = new Promise<number | null>((resolve) => child.once('close', resolve));
  return { stderr: await text(child.stderr), code: await code };
}
