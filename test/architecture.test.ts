import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';

/**
 * The layers of each package, the lowest first; names in one row are one layer. A file imports from its own layer, from
 * lower ones, and from the packages named in `MAY_IMPORT`. A name is a folder, or a file without its ending; the longest
 * name that fits a file counts.
 */
const LAYERS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  shared: [
    ['outcome', 'limits', 'duration', 'version', 'ip-command'],
    ['errors'],
    ['command', 'cli', 'check-input', 'async'],
    ['sqlite'],
    ['format'],
    ['coap'],
    ['oscore'],
    ['index'],
  ],
  agent: [
    ['base'],
    ['config', 'storage', 'packet-filter'],
    ['transport/endpoint', 'transport/cellular'],
    ['transport/transport', 'transport/sent-counts'],
    ['transport/udp', 'transport/modem/port'],
    ['transport/modem/at'],
    ['transport/modem/dialects'],
    ['transport/modem/scripts'],
    ['transport/modem/recovery'],
    ['transport/modem/console'],
    ['transport/modem'],
    ['transport/links'],
    ['handlers'],
    ['security'],
    ['command/peers'],
    ['command/stats', 'command/codec', 'command/dedup', 'command/runner'],
    ['command/journal', 'command/outbox', 'command/persistent-state'],
    ['command/life', 'command/exchange'],
    ['command/coap'],
    ['command'],
    ['status', 'reload', 'agent'],
    ['index'],
    ['service'],
    ['doctor'],
    ['cli'],
  ],
  sender: [
    ['base'],
    ['security'],
    ['webhooks'],
    ['api'],
    ['replies'],
    ['request'],
    ['broadcast', 'listen'],
    ['index'],
    ['cli'],
  ],
  loopback: [
    ['vendor-error', 'vendor-assumptions'],
    ['account'],
    ['network'],
    ['webhooks'],
    ['command-delivery'],
    ['modem/clock', 'modem/cellular'],
    ['modem/at', 'modem/tty'],
    ['modem/dialects'],
    ['modem/core'],
    ['modem/faults'],
    ['modem'],
    ['api'],
    ['events'],
    ['loopback'],
    ['print', 'probe'],
    ['index'],
    ['cli'],
  ],
};

/** The packages that a package may import besides itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  shared: [],
  agent: ['shared'],
  sender: ['shared'],
  loopback: ['shared'],
};

const MAX_ENTRIES = 15;

/** Tests below these folders are no unit tests: they have no source of their name. */
const STORY_FOLDERS = ['test/stories/', 'test/system/', 'test/e2e/'];

const PACKAGES = Object.keys(LAYERS);

const entriesOf = (folder: string) => readdirSync(folder, { withFileTypes: true });

const filesBelow = (folder: string): string[] =>
  entriesOf(folder).flatMap((entry) =>
    entry.isDirectory() ? filesBelow(`${folder}/${entry.name}`) : [`${folder}/${entry.name}`],
  );

const foldersBelow = (folder: string): string[] =>
  entriesOf(folder).flatMap((entry) =>
    entry.isDirectory() ? [`${folder}/${entry.name}`, ...foldersBelow(`${folder}/${entry.name}`)] : [],
  );

const packageOf = (file: string): string => file.split('/')[0] ?? '';

/** The relative imports of a file: static and dynamic ones, of types too, and exports from other files. */
function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  const specifiers = text.matchAll(/(?:^|[^\w$.])(?:from|import)\s*\(?\s*'(\.{1,2}\/[^'\n]+)'/gm);
  const paths = [...specifiers].map(([, specifier = '']) =>
    posix.join(posix.dirname(file), specifier).replace(/\.js$/, '.ts'),
  );
  return [...new Set(paths)];
}

const sources = PACKAGES.flatMap(filesBelow).filter((file) => file.endsWith('.ts'));
const imports = new Map(sources.map((file) => [file, importsOf(file)]));

/** The layer of a file, 0 being the lowest. */
function layerOf(file: string): number | undefined {
  const [name = '', ...rest] = file.replace(/\.ts$/, '').split('/');
  const layers = LAYERS[name] ?? [];
  for (let length = rest.length; length > 0; length--) {
    const path = rest.slice(0, length).join('/');
    const found = layers.findIndex((layer) => layer.includes(path));
    if (found >= 0) return found;
  }
  return undefined;
}

const mayNotImport = (file: string) => (to: string) =>
  packageOf(to) === packageOf(file)
    ? (layerOf(to) ?? 0) > (layerOf(file) ?? 0)
    : PACKAGES.includes(packageOf(to)) && !MAY_IMPORT[packageOf(file)]?.includes(packageOf(to));

/** Returns a path from a file through its imports back to itself, if there is one. */
function cycleThrough(start: string): string[] | undefined {
  const before = new Map<string, string>();
  const queue = [start];
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    for (const to of imports.get(file) ?? []) {
      if (to === start) {
        const path = [start];
        for (let at: string | undefined = file; at !== undefined && at !== start; at = before.get(at)) path.push(at);
        return [...path, start].reverse();
      }
      if (before.has(to) || !imports.has(to)) continue;
      before.set(to, file);
      queue.push(to);
    }
  }
  return undefined;
}

describe('the sources', () => {
  it('have a layer each', () => {
    expect(sources.filter((file) => layerOf(file) === undefined)).toEqual([]);
  });

  it('import only from their own layer, lower layers, and packages that they may import', () => {
    const upward = [...imports].flatMap(([file, all]) =>
      all.filter(mayNotImport(file)).map((to) => `${file} -> ${to}`),
    );
    expect(upward).toEqual([]);
  });

  it('have no import cycle, imports of types included', () => {
    const found = sources.map(cycleThrough).find((cycle) => cycle !== undefined);
    expect(found?.join(' -> ')).toBeUndefined();
  });

  it('stand in folders of at most 15 entries', () => {
    const folders = PACKAGES.flatMap((name) => [name, ...foldersBelow(name)]);
    const counts = folders.map((folder) => [folder, entriesOf(folder).length] as const);
    expect(counts.filter(([, count]) => count > MAX_ENTRIES)).toEqual([]);
  });

  it('have no file that only hands on what others export, but the public entries', () => {
    const isBarrel = (file: string) =>
      readFileSync(file, 'utf8')
        .replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')
        .replaceAll(/export (type )?(\*|\{[^}]*\})( as \w+)? from '[^']+';/g, '')
        .trim() === '';
    const entries = PACKAGES.map((name) => `${name}/index.ts`);
    expect(sources.filter((file) => isBarrel(file) && !entries.includes(file))).toEqual([]);
  });
});

describe('the unit tests', () => {
  it('stand beside the name of their source', () => {
    const units = filesBelow('test').filter(
      (file) =>
        file.endsWith('.test.ts') &&
        PACKAGES.includes(file.split('/')[1] ?? '') &&
        !STORY_FOLDERS.some((folder) => file.startsWith(folder)),
    );
    const sourceOf = (file: string) => file.slice('test/'.length, -'.test.ts'.length);
    expect(units.filter((file) => !existsSync(`${sourceOf(file)}.ts`) && !existsSync(sourceOf(file)))).toEqual([]);
  });
});

describe('the comments', () => {
  it('cite no document of the project that is not in the repository', () => {
    const cited = [...sources, ...filesBelow('test'), ...filesBelow('scripts'), ...filesBelow('packaging')]
      .filter((file) => /\.(ts|mjs)$/.test(file))
      .flatMap((file) =>
        [...readFileSync(file, 'utf8').matchAll(/\bdocs\/[\w/.-]+\.md\b/g)].map(([path]) => `${file}: ${path}`),
      );
    expect(cited.filter((citation) => !existsSync(citation.split(': ')[1] ?? ''))).toEqual([]);
  });
});
