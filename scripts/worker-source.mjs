import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const NAME = 'storage-worker-source';
const ENTRY = fileURLToPath(new URL('../agent/storage/worker-entry.ts', import.meta.url));

/** Bundles the program of the storage worker. It is started from its text, so that no bundle has to find a file. */
async function bundleWorker() {
  const { outputFiles, metafile } = await build({
    entryPoints: [ENTRY],
    bundle: true,
    write: false,
    // A worker that is started from a text is CommonJS.
    format: 'cjs',
    platform: 'node',
    target: 'node20',
    minifySyntax: true,
    legalComments: 'none',
    metafile: true,
    // `import.meta` is empty there; the worker is told the path of what it loads.
    logOverride: { 'empty-import-meta': 'silent' },
    logLevel: 'warning',
  });
  return { text: outputFiles.map(({ text }) => text).join(''), inputs: Object.keys(metafile.inputs) };
}

/** Plugin of esbuild. @type {import('esbuild').Plugin} */
export const workerSource = {
  name: NAME,
  setup({ onResolve, onLoad }) {
    onResolve({ filter: new RegExp(`^${NAME}$`) }, ({ path }) => ({ path, namespace: NAME }));
    onLoad({ filter: /.*/, namespace: NAME }, async () => {
      const { text, inputs } = await bundleWorker();
      return { contents: text, loader: 'text', watchFiles: inputs };
    });
  },
};

/** The same as a plugin of Vite, for the tests. */
export const workerSourceForVite = () => ({
  name: NAME,
  resolveId: (/** @type {string} */ id) => (id === NAME ? `\0${NAME}` : undefined),
  async load(/** @type {string} */ id) {
    if (id !== `\0${NAME}`) return undefined;
    return `export default ${JSON.stringify((await bundleWorker()).text)};`;
  },
});
