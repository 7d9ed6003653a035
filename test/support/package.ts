import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import manifest from '../../package.json' with { type: 'json' };
import { cachePath, makeOnce } from './cache.js';
import { lastCommitOf } from './history.js';

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

const OLD_PACKAGE_MS = 300_000;

/** How long a hook may take that needs an old package: it may have to be built first. */
export const OLD_PACKAGE_TIMEOUT_MS = OLD_PACKAGE_MS + PACKAGE_TIMEOUT_MS;

/** In a clone, as the build asks git for the commit. */
const BUILD_OLD = `
set -e
[ ! -f "$PACKAGE" ] || exit 0
folder=$(mktemp -d "$PACKAGE.XXXXXX")
trap 'rm -rf "$folder"' EXIT
git clone --quiet --shared --no-checkout . "$folder"
cd "$folder"
git checkout --quiet --detach "$COMMIT"
npm ci --ignore-scripts --no-audit --no-fund >&2
node scripts/build.mjs
node packaging/package.mjs packages "$ARCHITECTURE"
mv packages/*.deb "$PACKAGE"
`;

/**
 * The file of the package as the last commit of an older version builds it, for this machine. It is built when it is
 * asked for the first time (with what npm fetches for that), and kept in the user's cache.
 */
export async function oldPackage(version: string): Promise<string> {
  const commit = lastCommitOf(version);
  if (commit === undefined) throw new Error(`the history does not go back to version ${version}`);
  const file = cachePath(`supersim-agent-${commit.slice(0, 12)}-${OWN_ARCHITECTURE}.deb`);
  return makeOnce(file, BUILD_OLD, { PACKAGE: file, COMMIT: commit, ARCHITECTURE: OWN_ARCHITECTURE }, OLD_PACKAGE_MS);
}
