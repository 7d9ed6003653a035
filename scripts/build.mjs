/** Bundles the programs and the library's entry points into dist/. Each import() gets a chunk of its own. */
import { chmod, readdir, rm, writeFile } from 'node:fs/promises';
import { build } from 'esbuild';
import { licensesOf } from './licenses.mjs';
import { workerSource } from './worker-source.mjs';

const AGENT = 'bin/supersim-agent';
const PROGRAMS = ['bin/supersim', 'bin/start'];
const LIBRARIES = ['agent/index', 'sender/index', 'loopback/index', 'shared/index'];

// Bundled separately: the libraries export all of zod, the programs load only the parts that they use. The agent has
// chunks of its own, so that those of the other programs do not split its code into more files to load at start.
const bundles = [
  await bundle([AGENT], 'bin/chunks'),
  await bundle(PROGRAMS, 'bin/chunks'),
  await bundle(LIBRARIES, 'chunks'),
];
for (const name of [AGENT, ...PROGRAMS]) await chmod(`dist/${name}.js`, 0o755);
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
    minifySyntax: true,
    legalComments: 'none',
    metafile: true,
    // Each finds its native code relative to its own folder. They are loaded only where there is a modem.
    external: ['serialport', '@lydell/node-pty'],
    plugins: [workerSource],
    // CommonJS libraries inside an ES module bundle call require() for Node's own modules.
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
    logLevel: 'warning',
  });
}

/** Removes the chunks of earlier builds. A program that still runs must be restarted: its next import() finds no chunk. */
async function removeStaleChunks(outputs) {
  for (const folder of ['dist/bin/chunks', 'dist/chunks']) {
    const files = (await readdir(folder)).map((name) => `${folder}/${name}`);
    for (const file of files.filter((name) => !outputs.includes(name))) await rm(file, { force: true });
  }
}

/** Returns the licences of the bundled packages, which must be distributed with them. */
function licenses(inputs) {
  const folders = inputs.map((file) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0]);
  return licensesOf([...new Set(folders)].filter((folder) => folder !== undefined).sort());
}
