/** A set, or a map, that remembers in which order things came into it. */
interface Remembered<K> {
  readonly size: number;
  keys(): Iterable<K>;
  delete(key: K): boolean;
}

/** Leaves out what has been in it longest, until there are no more than `max`. */
export function forgetOldest<K>(known: Remembered<K>, max: number): void {
  for (const key of known.keys()) {
    if (known.size <= max) return;
    known.delete(key);
  }
}
