import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';

/** Where a program of this folder is when it is built: under node_modules, so that packages are found from it. */
export const builtProgram = (name: string): string => resolve(`node_modules/.cache/${name}-${process.pid}.mjs`);

/** For packages in CommonJS, which are bundled too. */
const REQUIRE = "import { createRequire as make } from 'node:module'; const require = make(import.meta.url);";

/**
 * Builds `NAME-program.ts` of this folder to {@link builtProgram}, with all packages but the native one, as it starts in
 * half the time then; gives what removes it.
 */
export async function buildProgram(name: string): Promise<() => void> {
  const outfile = builtProgram(name);
  await build({
    entryPoints: [join(import.meta.dirname, `${name}-program.ts`)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['libsql', '@libsql/*'],
    banner: { js: REQUIRE },
  });
  return () => rmSync(outfile, { force: true });
}
