import { execFile } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

/** Where a file or folder is kept that takes long to make: in the user's cache. */
export const cachePath = (name: string): string =>
  join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'supersim-agent-tests', name);

/**
 * Has a shell script make what is not there yet. Of several processes one makes it, and the others wait; so the script
 * looks again whether it is there, and makes it under another name first, so that half of it is never taken for all.
 */
export async function makeOnce(
  path: string,
  script: string,
  variables: Readonly<Record<string, string>>,
  timeout: number,
): Promise<string> {
  if (existsSync(path)) return path;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const env = { ...process.env, ...variables };
  await promisify(execFile)('flock', [`${path}.lock`, 'sh', '-c', script], { env, timeout });
  return path;
}
