/** The faulty disk of the tests, for benchmarks: it is bundled here, as it is written in TypeScript. */
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { folder } from '../lib/support.mjs';

const SOURCE = fileURLToPath(new URL('../../support/faulty-disk.ts', import.meta.url));

/**
 * Makes a disk of which each sync takes longer, once it is told so; it writes nothing down.
 *
 * @param {string} state what lies below this folder is on it
 */
export async function slowDisk(state) {
  const outfile = join(folder, 'faulty-disk.mjs');
  await build({ entryPoints: [SOURCE], bundle: true, platform: 'node', format: 'esm', outfile, logLevel: 'warning' });
  const { makeFaultyDisk } = await import(pathToFileURL(outfile).href);
  /** @type {{ env: Record<string, string>, set(faults: { fsyncDelayMs: number }): void }} */
  const disk = await makeFaultyDisk(state, folder, { log: false });
  return disk;
}
