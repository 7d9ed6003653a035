import { chmodSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A folder of the test's own, which it is gone with. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), 'supersim-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes a file that only its owner may change. */
export function writeFile(folder: string, name: string, text: string | Uint8Array, mode = 0o600): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

/** Writes a shell script that can be run, in a folder of its own if none is given. */
export const writeScript = (text: string, folder = temporaryFolder(), name = 'script.sh'): string =>
  writeFile(folder, name, `#!/bin/sh\n${text}\n`, 0o755);
