import { describe, expect, it } from 'vitest';
import { createModuleFiles } from '../../../../agent/handlers/module/files.js';

/** Files with their contents' stamps, and who imports whom; `load` does what Node's loader would, and tells of it. */
function disk(imports: Readonly<Record<string, readonly string[]>>) {
  const stamps: Record<string, string> = {};
  const stampOf = (file: string) => stamps[file] ?? 'first';
  const files = createModuleFiles(stampOf);
  const loaded = new Set<string>();
  const import_ = (parent: string, file: string) => {
    const edition = files.editionOf(file);
    files.note({ parent, file, edition, stamp: stampOf(file) });
    const url = `${file}?${edition}`;
    if (loaded.has(url)) return;
    loaded.add(url);
    for (const imported of imports[file] ?? []) import_(file, imported);
  };
  return {
    files,
    change: (file: string, stamp = 'second') => {
      stamps[file] = stamp;
    },
    /** Loads a module; which of its files had to be loaded anew. */
    load(module: string): string[] {
      const renewed = [...files.renew(module).keys()];
      import_('agent', module);
      return renewed.sort();
    },
  };
}

describe('createModuleFiles gives a module a new edition', () => {
  it('once when it has changed', () => {
    const { load, change, files } = disk({ a: ['b'], b: [] });
    expect([load('a'), load('a')]).toEqual([[], []]);
    change('a');
    expect([load('a'), load('a')]).toEqual([['a'], []]);
    expect([files.editionOf('a'), files.editionOf('b')]).toEqual([1, 0]);
  });

  it('when an indirect import has changed, together with the files between them only', () => {
    const { load, change, files } = disk({ a: ['b', 'x'], b: ['c'], c: ['d'], x: [] });
    load('a');
    change('d');
    expect(load('a')).toEqual(['a', 'b', 'c', 'd']);
    change('d', 'third');
    expect(load('a')).toEqual(['a', 'b', 'c', 'd']);
    change('x');
    expect(load('a')).toEqual(['a', 'x']);
    expect(files.editionOf('d')).toBe(2);
  });

  it('where files import each other in a loop', () => {
    const { load, change } = disk({ a: ['b'], b: ['c'], c: ['b', 'a'] });
    load('a');
    expect(load('a')).toEqual([]);
    change('c');
    expect([load('a'), load('a')]).toEqual([['a', 'b', 'c'], []]);
  });

  it('together with modules that share the changed file', () => {
    const { load, change, files } = disk({ a: ['shared'], b: ['shared', 'own'] });
    load('a');
    load('b');
    change('shared');
    expect([load('a'), load('b')]).toEqual([['a', 'shared'], ['b']]);
    expect(files.editionOf('shared')).toBe(1);
    expect([load('a'), load('b')]).toEqual([[], []]);
    change('own');
    expect([load('a'), load('b')]).toEqual([[], ['b', 'own']]);
  });

  it('when it failed to load before, even without a change', () => {
    const { load, files } = disk({ a: ['b'] });
    load('a');
    files.failed('a');
    expect([load('a'), load('a')]).toEqual([['a', 'b'], []]);
  });
});

it('createModuleFiles ignores an import of an older edition', () => {
  const { load, change, files } = disk({ a: ['b'] });
  load('a');
  change('b');
  files.renew('a');
  files.note({ parent: 'a', file: 'b', edition: 0, stamp: 'first' });
  expect(files.editionOf('b')).toBe(1);
});
