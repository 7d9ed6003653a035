import { existsSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const NAME = 'supersim-agent';

let provided = false;

/**
 * Lets modules anywhere on the disk `import … from 'supersim-agent'` and get the package that is running, as a
 * handler in /etc has no node_modules folder above it.
 */
export async function provideOwnPackage(): Promise<void> {
  if (provided) return;
  provided = true;
  const url = entryPoint();
  if (url === undefined) return;
  if ('registerHooks' in nodeModule && typeof nodeModule.registerHooks === 'function') {
    nodeModule.registerHooks({
      resolve: (specifier: string, context: unknown, next: (specifier: string, context: unknown) => unknown) =>
        specifier === NAME ? { url, shortCircuit: true } : next(specifier, context),
    });
    return;
  }
  // Node 20 has only hooks that run on a thread of their own, and take their code from a URL.
  const code = `export const resolve = (specifier, context, next) =>
    specifier === '${NAME}' ? { url: ${JSON.stringify(url)}, shortCircuit: true } : next(specifier, context);`;
  nodeModule.register(`data:text/javascript,${encodeURIComponent(code)}`);
}

/** The bundled entry point of this package; undefined when it runs from its sources. */
function entryPoint(): string | undefined {
  for (let folder = dirname(fileURLToPath(import.meta.url)); folder !== dirname(folder); folder = dirname(folder)) {
    const file = join(folder, 'dist', 'agent', 'index.js');
    if (existsSync(file)) return pathToFileURL(file).href;
  }
  return undefined;
}
