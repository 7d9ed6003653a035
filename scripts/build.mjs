/** Bundles the programs and the library's entry points into dist/. What is imported when first used gets a chunk of its own. */
import { chmod, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';

const PROGRAMS = ['bin/supersim-agent', 'bin/supersim', 'bin/start'];
const LIBRARIES = ['agent/index', 'sender/index', 'loopback/index', 'shared/index'];

// Apart, as the libraries hand on all of zod, and the programs load only what they use of it.
const bundles = [await bundle(PROGRAMS, 'bin/chunks'), await bundle(LIBRARIES, 'chunks')];
for (const name of PROGRAMS) await chmod(`dist/${name}.js`, 0o755);
await removeStaleChunks(bundles.flatMap(({ metafile }) => Object.keys(metafile.outputs)));
await writeFile('dist/LICENSES.txt', await licenses(bundles.flatMap(({ metafile }) => Object.keys(metafile.inputs))));

function bundle(names, chunks) {
  return build({
    entryPoints: names.map((name) => ({ in: `${name}.ts`, out: name })),
    outdir: 'dist',
    chunkNames: `${chunks}/[name]-[hash]`,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    // Native modules beside their JavaScript.
    external: ['libsql', '@lydell/node-pty'],
    minifySyntax: true,
    legalComments: 'none',
    metafile: true,
    // CommonJS libraries inside an ES module bundle call require() for Node's own modules.
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
    logLevel: 'warning',
  });
}

/** Chunks of earlier builds; a program that runs meanwhile keeps what it has. */
async function removeStaleChunks(outputs) {
  for (const folder of ['dist/bin/chunks', 'dist/chunks']) {
    const files = (await readdir(folder)).map((name) => `${folder}/${name}`);
    for (const file of files.filter((name) => !outputs.includes(name))) await rm(file, { force: true });
  }
}

/** The licences of the packages that the bundle holds, as these ask for. */
async function licenses(inputs) {
  const folders = inputs.map((file) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0]);
  const texts = [...new Set(folders)].filter(Boolean).sort().map(licenseOf);
  return (await Promise.all(texts)).join(`\n${'-'.repeat(80)}\n\n`);
}

async function licenseOf(folder) {
  const { name, version, license } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
  return `${name} ${version}: ${license}\n\n${file === undefined ? '' : await readFile(join(folder, file), 'utf8')}`;
}
