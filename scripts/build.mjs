/** Bundles the programs and the library's entry points into dist/. What is imported when first used gets a chunk of its own. */
import { chmod, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { build } from 'esbuild';
import { licensesOf } from './licenses.mjs';

const AGENT = 'bin/supersim-agent';
/** The modules that an import() in the agent's program leads to. */
const FIRST_USED = 'first-used';
/** What the agent's program imports at start. */
const AGENT_START = ['agent/cli/run/run.ts', 'agent/cli/run/flags.ts', 'bin/or-exit.ts'];
const PROGRAMS = ['bin/supersim', 'bin/start'];
const LIBRARIES = ['agent/index', 'sender/index', 'loopback/index', 'shared/index'];

// Apart, as the libraries hand on all of zod, and the programs load only what they use of it.
const bundles = [
  await bundle([AGENT], 'bin/chunks', [
    { name: 'one-chunk', setup: oneChunk },
    { name: 'lean-pino', setup: leanPino },
    { name: 'lean-metrics', setup: leanMetrics },
  ]),
  await bundle(PROGRAMS, 'bin/chunks'),
  await bundle(LIBRARIES, 'chunks'),
];
for (const name of [AGENT, ...PROGRAMS]) await chmod(`dist/${name}.js`, 0o755);
await removeStaleChunks(bundles.flatMap(({ metafile }) => Object.keys(metafile.outputs)));
await writeFile('dist/LICENSES.txt', await licenses(bundles.flatMap(({ metafile }) => Object.keys(metafile.inputs))));

function bundle(names, chunks, plugins = []) {
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
    // It looks for its native part from where it lies, and is loaded only where there is a modem.
    external: ['serialport', '@lydell/node-pty'],
    plugins: [{ name: 'libsql-native', setup: libsqlNative }, ...plugins],
    // CommonJS libraries inside an ES module bundle call require() for Node's own modules.
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
    logLevel: 'warning',
  });
}

/**
 * Keeps all that the agent needs at start in one chunk. esbuild gives a chunk to what the same entry points reach, and
 * each import() makes one: the start would load a dozen. So each of these reaches all that is needed at start.
 */
function oneChunk({ onResolve, onLoad, resolve: find }) {
  onResolve({ filter: /./ }, async ({ path, kind, importer, resolveDir, pluginData }) => {
    if (kind !== 'dynamic-import' || pluginData === oneChunk) return undefined;
    const found = await find(path, { kind, importer, resolveDir, pluginData: oneChunk });
    return found.external ? found : { path: found.path, namespace: FIRST_USED };
  });
  onLoad({ filter: /./, namespace: FIRST_USED }, ({ path }) => {
    const module = JSON.stringify(path);
    const exported = path.includes('/node_modules/') ? `export { default } from ${module}` : `export * from ${module}`;
    const needed = AGENT_START.map((file) => `import ${JSON.stringify(resolve(file))};`);
    return { contents: `${needed.join('\n')}\n${exported};`, resolveDir: dirname(path) };
  });
}

/**
 * Gives `libsql`'s JavaScript its native part by agent/storage/native.ts instead of its own slow way. Both parts must
 * be of one version, which therefore is an exact one in package.json.
 */
function libsqlNative({ onLoad }) {
  onLoad({ filter: /\/node_modules\/libsql\/index\.js$/ }, async ({ path }) => {
    const [ownWay, marker, rest] = (await readFile(path, 'utf8')).split(/(const \{\n {2}databaseOpen,)/);
    if (!ownWay.includes('function requireNative()') || rest === undefined) throw new Error(`${path} is another now`);
    const native = JSON.stringify(resolve('agent/storage/native.ts'));
    return { contents: `const { requireNative } = require(${native});\n${marker}${rest}`, resolveDir: dirname(path) };
  });
}

/** Leaves out pino's own ways of writing, which take milliseconds to load: the agent has agent/cli/run/line-writer.ts. */
function leanPino({ onResolve, onLoad }) {
  onResolve({ filter: /^(sonic-boom|thread-stream)$/ }, ({ path, importer }) =>
    importer.includes('/node_modules/pino/') ? { path, namespace: 'left-out' } : undefined,
  );
  onLoad({ filter: /./, namespace: 'left-out' }, () => ({ contents: 'module.exports = class {};' }));
}

/** Leaves out what of prom-client the agent does not use, which are three quarters of it. */
function leanMetrics({ onResolve, onLoad }) {
  const unused = /^(@opentelemetry\/api|\.\/lib\/(cluster|defaultMetrics|pushgateway|summary))$/;
  onResolve({ filter: unused }, ({ path, importer }) =>
    importer.includes('/node_modules/prom-client/') ? { path, namespace: 'left-out-metrics' } : undefined,
  );
  onLoad({ filter: /./, namespace: 'left-out-metrics' }, () => ({ contents: 'module.exports = class {};' }));
}

/** Chunks of earlier builds; a program that runs meanwhile keeps what it has. */
async function removeStaleChunks(outputs) {
  for (const folder of ['dist/bin/chunks', 'dist/chunks']) {
    const files = (await readdir(folder)).map((name) => `${folder}/${name}`);
    for (const file of files.filter((name) => !outputs.includes(name))) await rm(file, { force: true });
  }
}

/** The licences of the packages that the bundle holds, as these ask for. */
function licenses(inputs) {
  const files = inputs.filter((file) => !file.startsWith(`${FIRST_USED}:`));
  const folders = files.map((file) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0]);
  return licensesOf([...new Set(folders)].filter((folder) => folder !== undefined).sort());
}
