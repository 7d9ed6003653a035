/** What Node's loader was asked for: a file imports another. */
export interface Import {
  readonly parent: string;
  readonly file: string;
  /** Of the file, so far: 0 for the one that was loaded first. */
  readonly edition: number;
  /** Tells whether the file has changed since. */
  readonly stamp: string;
}

interface LoadedFile {
  edition: number;
  stamp: string | undefined;
  /** The files that it imports, in the editions that it got. */
  imports: Map<string, number>;
}

/**
 * The files that modules consist of, by their URLs. Node keeps what it has once loaded, under its URL, and lets go of
 * nothing: a file that has changed, or that imports one that has, gets another URL by the number of its edition. All
 * others stay as they are, so that modules that share one go on sharing it.
 *
 * @param stampOf of a file as it is now
 */
export function createModuleFiles(stampOf: (file: string) => string) {
  const files = new Map<string, LoadedFile>();

  function note({ parent, file, edition, stamp }: Import): void {
    const known = files.get(file) ?? { edition, stamp: undefined, imports: new Map() };
    // It may have been on its way while the file got its next edition.
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
     * Gives those of a module's files that are not as they were loaded their next edition.
     *
     * @returns these, with their new editions
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
    /** A module could not be loaded: Node keeps that too, so that all of it is loaded anew the next time. */
    failed(module: string): void {
      for (const file of reachedFrom(module)) {
        const loaded = files.get(file);
        if (loaded !== undefined) loaded.stamp = undefined;
      }
    },
  };
}
