/** Copies the native parts of npm packages for one architecture, which no bundle has. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';

const CACHE = '.cache/npm';
const PREBUILDS = 'node_modules/@serialport/bindings-cpp/prebuilds';

/**
 * @param {string} target the folder to create node_modules in
 * @param {{ libsql: string, serialport: string }} names what the packages call the architecture
 */
export function copyNative(target, names) {
  const prebuilds = join(PREBUILDS, names.serialport);
  cpSync(prebuilds, join(target, prebuilds), { recursive: true, filter: (file) => !file.includes('.musl.') });
  const folder = join(target, 'node_modules/@libsql', names.libsql);
  mkdirSync(folder, { recursive: true });
  const files = ['package/package.json', 'package/index.node'];
  const unpack = ['-xzf', tarball(`@libsql/${names.libsql}`), '-C', folder, '--strip-components=1', '--no-same-owner'];
  execFileSync('tar', [...unpack, ...files]);
}

/**
 * Returns the registry's tarball of a package that npm skips on other architectures, from the cache if possible. Its
 * integrity must match the lock file.
 */
function tarball(name) {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'));
  const { version, integrity } = packages[`node_modules/${name}`];
  const file = join(CACHE, `${name.replaceAll(/[@/]/g, '_')}-${version}.tgz`);
  if (integrityOf(file) === integrity) return file;
  mkdirSync(CACHE, { recursive: true });
  const folder = mkdtempSync(join(CACHE, 'fetch-'));
  try {
    const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder, `${name}@${version}`];
    const [{ filename }] = JSON.parse(
      execFileSync('npm', pack, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }),
    );
    const fetched = join(folder, basename(filename));
    if (integrityOf(fetched) !== integrity) throw new Error(`${name}@${version} does not match package-lock.json`);
    renameSync(fetched, file);
    return file;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function integrityOf(file) {
  try {
    return `sha512-${createHash('sha512').update(readFileSync(file)).digest('base64')}`;
  } catch {
    return undefined;
  }
}
