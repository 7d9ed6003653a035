/** An import of a file by another, as seen by Node's loader. */
export interface Import {
  readonly parent: string;
  readonly file: string;
  /** Edition of the file: 0 for the first one loaded. */
  readonly edition: number;
  /** Changes whenever the file changes. */
  readonly stamp: string;
}

interface LoadedFile {
  edition: number;
  stamp: string | undefined;
  /** The files that it imports, with their editions. */
  imports: Map<string, number>;
}

/**
 * Tracks the files of modules by URL. Node caches every module by its URL forever: a file that has changed, or that
 * imports a changed one, gets a new URL with the number of its edition. Other files keep their URLs, so that modules go
 * on sharing them.
 *
 * @param stampOf returns the present stamp of a file
 */
export function createModuleFiles(stampOf: (file: string) => string) {
  const files = new Map<string, LoadedFile>();

  function note({ parent, file, edition, stamp }: Import): void {
    const known = files.get(file) ?? { edition, stamp: undefined, imports: new Map() };
    // An old import may be reported after the file got a new edition.
    if (edition < known.edition) return;
    known.stamp ??= stamp;
    files.set(file, known);
    files.get(parent)?.imports.set(file, edition);
  }

  function reachedFrom(file: string, reached = new Set<string>()): Set<string> {
    if (reached.has(file)) return reached;
    reached.add(file);
    for (const imported of files.get(file)?.imports.keys() ?? []) reachedFrom(imported, reached);
    return reached;
  }

  return {
    note,
    editionOf: (file: string): number => files.get(file)?.edition ?? 0,
    /**
     * Gives the changed files of a module, and those that import them, their next edition.
     *
     * @returns these files with their new editions
     */
    renew(module: string): ReadonlyMap<string, number> {
      const reached = [...reachedFrom(module)].flatMap((file) => {
        const loaded = files.get(file);
        return loaded === undefined ? [] : [{ file, loaded, hasChanged: stampOf(file) !== loaded.stamp }];
      });
      const renewed = new Map<string, number>();
      const isStale = ({ file, loaded, hasChanged }: (typeof reached)[number]) =>
        !renewed.has(file) && (hasChanged || [...loaded.imports].some(isOld));
      const isOld = ([file, edition]: [string, number]) => renewed.has(file) || files.get(file)?.edition !== edition;
      for (let next = reached.find(isStale); next !== undefined; next = reached.find(isStale)) {
        renewed.set(next.file, next.loaded.edition + 1);
      }
      for (const [file, edition] of renewed) files.set(file, { edition, stamp: undefined, imports: new Map() });
      return renewed;
    },
    /** Marks a module as failed: Node caches failures too, so all its files get new editions the next time. */
    failed(module: string): void {
      for (const file of reachedFrom(module)) {
        const loaded = files.get(file);
        if (loaded !== undefined) loaded.stamp = undefined;
      }
    },
  };
}
