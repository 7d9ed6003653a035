/**
 * Memory for what is kept for long. A Buffer below 4 KiB from `Buffer.from` or `Buffer.concat` is a piece of a pool that
 * Node fills with all of them in turn: as long as one is kept, the 8 KiB around it are too.
 */

/** Returns a copy that keeps nothing else in memory. */
export function ownCopy(bytes: Uint8Array): Buffer<ArrayBuffer> {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  copy.set(bytes);
  return copy;
}

/** Returns memory of at least so many bytes that begins with what is in `memory`: the same, or twice as much. */
export function withRoom(memory: Buffer<ArrayBuffer>, bytes: number): Buffer<ArrayBuffer> {
  if (bytes <= memory.length) return memory;
  const larger = Buffer.allocUnsafeSlow(Math.max(bytes, 2 * memory.length));
  larger.set(memory);
  return larger;
}
