/** A set or a map, which keeps the order in which keys were added. */
interface KeyedCollection<K> {
  readonly size: number;
  keys(): Iterable<K>;
  delete(key: K): boolean;
}

/** Deletes the keys that were added first, until there are no more than `max`. */
export function evictOldest<K>(collection: KeyedCollection<K>, max: number): void {
  for (const key of collection.keys()) {
    if (collection.size <= max) return;
    collection.delete(key);
  }
}
