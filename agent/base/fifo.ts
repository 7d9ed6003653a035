/** First in, first out. An array's own `shift` moves all that is behind, when it is long. */
export interface Fifo<T> {
  push(item: T): void;
  /** Takes the first. */
  shift(): T | undefined;
  readonly first: T | undefined;
  readonly length: number;
}

/** Taken items that are left in the array at most, unless those that wait are more. */
const MOST_TAKEN = 64;

export function createFifo<T>(): Fifo<T> {
  let items: (T | undefined)[] = [];
  let head = 0;
  return {
    push(item) {
      items.push(item);
    },
    shift() {
      const item = items[head];
      if (head === items.length) return undefined;
      items[head++] = undefined;
      if (head > MOST_TAKEN && head * 2 > items.length) {
        items = items.slice(head);
        head = 0;
      }
      return item;
    },
    get first() {
      return items[head];
    },
    get length() {
      return items.length - head;
    },
  };
}
