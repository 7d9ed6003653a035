import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import manifest from '../../package.json' with { type: 'json' };

export const ARCHITECTURES = ['arm64', 'armhf', 'amd64'] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

/** Debian's name of this machine's architecture. */
export const OWN_ARCHITECTURE: Architecture =
  process.arch === 'arm64' ? 'arm64' : process.arch === 'arm' ? 'armhf' : 'amd64';

/** How long building all packages may take on a busy machine, and fetching their native parts for the first time. */
export const PACKAGE_TIMEOUT_MS = 180_000;

const run = promisify(execFile);

/** Builds packages of what is in dist/ as `npm run package` does, into a folder. */
export async function buildPackages(folder: string, architectures: readonly Architecture[]): Promise<void> {
  await run(process.execPath, [resolve('packaging/package.mjs'), folder, ...architectures]);
}

export const packageFile = (folder: string, architecture: Architecture): string =>
  join(folder, `supersim-agent_${manifest.version}_${architecture}.deb`);

/** Makes another package of a package, after a change of its unpacked files. */
export async function changePackage(file: string, target: string, change: (tree: string) => void): Promise<void> {
  const tree = mkdtempSync(join(tmpdir(), 'supersim-test-'));
  try {
    await unpackPackage(file, join(tree, 'unpacked'));
    change(join(tree, 'unpacked'));
    await run('dpkg-deb', ['--root-owner-group', '-Znone', '--build', join(tree, 'unpacked'), target]);
  } finally {
    rmSync(tree, { recursive: true });
  }
}

/** Unpacks a package's files, its control files among them in the folder DEBIAN. */
export async function unpackPackage(file: string, target: string): Promise<void> {
  await run('dpkg-deb', ['--raw-extract', file, target]);
}
