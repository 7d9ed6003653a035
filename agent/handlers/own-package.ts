import { existsSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** What can be imported, and the bundle that it is. */
const ENTRY_POINTS = {
  'supersim-agent': 'agent',
  'supersim-agent/sender': 'sender',
  'supersim-agent/loopback': 'loopback',
  'supersim-agent/shared': 'shared',
};

let provided = false;

/**
 * Lets modules anywhere on the disk `import … from 'supersim-agent'` and get the package that is running, as a
 * handler in /etc has no node_modules folder above it.
 */
export async function provideOwnPackage(): Promise<void> {
  if (provided) return;
  provided = true;
  const urls = entryPoints();
  if ('registerHooks' in nodeModule && typeof nodeModule.registerHooks === 'function') {
    nodeModule.registerHooks({
      resolve: (specifier: string, context: unknown, next: (specifier: string, context: unknown) => unknown) =>
        Object.hasOwn(urls, specifier) ? { url: urls[specifier], shortCircuit: true } : next(specifier, context),
    });
    return;
  }
  // Node 20 has only hooks that run on a thread of their own, and take their code from a URL.
  const code = `const urls = ${JSON.stringify(urls)};
    export const resolve = (specifier, context, next) =>
      Object.hasOwn(urls, specifier) ? { url: urls[specifier], shortCircuit: true } : next(specifier, context);`;
  nodeModule.register(`data:text/javascript,${encodeURIComponent(code)}`);
}

/** URLs of this package's bundled entry points; none when it runs from its sources. */
function entryPoints(): Record<string, string> {
  for (let folder = dirname(fileURLToPath(import.meta.url)); folder !== dirname(folder); folder = dirname(folder)) {
    const dist = join(folder, 'dist');
    if (!existsSync(join(dist, 'agent', 'index.js'))) continue;
    const urls = Object.entries(ENTRY_POINTS).map(([name, room]) => [
      name,
      pathToFileURL(join(dist, room, 'index.js')).href,
    ]);
    return Object.fromEntries(urls);
  }
  return {};
}
