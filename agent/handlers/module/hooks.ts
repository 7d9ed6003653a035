import { existsSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import * as z from 'zod';
import type { Import } from './files.js';

/** Package entry points and their bundles. */
const ENTRY_POINTS = {
  'supersim-agent': 'agent',
  'supersim-agent/sender': 'sender',
  'supersim-agent/loopback': 'loopback',
  'supersim-agent/shared': 'shared',
};

/**
 * Resolve hook of Node's module loader. It lets modules anywhere on disk `import … from 'supersim-agent'` and get the
 * running package, as a handler in /etc has no node_modules folder above it. It also reports each import of a file by
 * path, with a stamp taken before the file is read, and adds the file's edition to its URL.
 *
 * The hook is text, as Node 20 runs hooks on a thread of their own and loads their code from a URL.
 */
const HOOK = `
import { statSync } from 'node:fs';
import { receiveMessageOnPort } from 'node:worker_threads';
const editions = new Map();
const told = new Set();
let own;
let port;
export function initialize(data) {
  own = data.own;
  port = data.port;
}
export function resolve(specifier, context, next) {
  if (Object.hasOwn(own, specifier)) return { url: own[specifier], shortCircuit: true };
  const found = next(specifier, context);
  if (!/^(?:\\.{0,2}\\/|file:)/.test(specifier)) return found;
  return found instanceof Promise ? found.then((it) => follow(context, it)) : follow(context, found);
}
function follow({ parentURL = '' }, found) {
  const file = withoutEdition(found.url);
  if (!file.startsWith('file:') || file.includes('?')) return found;
  for (let news = receiveMessageOnPort(port); news; news = receiveMessageOnPort(port)) editions.set(...news.message);
  const edition = editions.get(file) ?? 0;
  const url = edition === 0 || found.format === 'commonjs' ? file : file + '?edition=' + edition;
  const line = parentURL + ' ' + url;
  if (!told.has(line)) port.postMessage({ parent: withoutEdition(parentURL), file, edition, stamp: stampOf(file) });
  told.add(line);
  return { ...found, url };
}
function withoutEdition(url) {
  return url.replace(/\\?edition=\\d+$/, '');
}
function stampOf(file) {
  const { ino, size, ctimeNs } = statSync(new URL(file), { bigint: true });
  return [ino, size, ctimeNs].join(' ');
}
`;

const importSchema: z.ZodType<Import> = z.object({
  parent: z.string(),
  file: z.string(),
  edition: z.number(),
  stamp: z.string(),
});

/** The connection to the hook. */
export interface LoaderHooks {
  /** Returns the imports since the previous call. */
  imports(): Import[];
  /** Loads a file in this edition from now on. */
  renew(file: string, edition: number): void;
}

let hooks: Promise<LoaderHooks> | undefined;

/** Installs the hook once for the process. */
export function hookLoader(): Promise<LoaderHooks> {
  hooks ??= install();
  return hooks;
}

async function install(): Promise<LoaderHooks> {
  const { port1, port2 } = new MessageChannel();
  const url = `data:text/javascript,${encodeURIComponent(HOOK)}`;
  const data = { own: entryPoints(), port: port2 };
  if ('registerHooks' in nodeModule && typeof nodeModule.registerHooks === 'function') {
    const { initialize, resolve } = await import(url);
    initialize(data);
    nodeModule.registerHooks({ resolve });
  } else nodeModule.register(url, { data, transferList: [port2] });
  return {
    imports: () => [...received(port1)].map((message) => importSchema.parse(message)),
    renew: (file, edition) => port1.postMessage([file, edition]),
  };
}

function* received(port: MessagePort): Generator<unknown> {
  for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
    yield next.message;
  }
}

/** Returns the URLs of this package's bundled entry points; none when it runs from its sources. */
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
