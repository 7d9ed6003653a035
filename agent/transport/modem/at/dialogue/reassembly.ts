import type { Endpoint } from '../../../endpoint.js';

/** Largest datagram: the size of a packet of the network. */
const MAX_DATAGRAM_BYTES = 1500;

/** Reassembles datagrams that a modem returns in parts. */
export function createReassembly(deliver: (socket: number, source: Endpoint, bytes: Buffer) => void) {
  /** First parts of datagrams, by socket; the next read may have the rest. */
  const parts = new Map<number, { readonly bytes: Buffer; readonly source: Endpoint }>();

  /** The datagram has no further parts. */
  function flush(socket: number): void {
    const part = parts.get(socket);
    parts.delete(socket);
    if (part !== undefined) deliver(socket, part.source, part.bytes);
  }

  return {
    /** @param partial whether the next read may have the rest */
    take(socket: number, source: Endpoint, bytes: Buffer, partial: boolean): void {
      const first = parts.get(socket);
      const isRest =
        first !== undefined &&
        first.source.address === source.address &&
        first.source.port === source.port &&
        first.bytes.length + bytes.length <= MAX_DATAGRAM_BYTES;
      if (!isRest) flush(socket);
      const whole = isRest ? Buffer.concat([first.bytes, bytes]) : bytes;
      parts.delete(socket);
      if (partial) parts.set(socket, { bytes: whole, source });
      else deliver(socket, source, whole);
    },

    flush,

    flushAll(): void {
      for (const socket of [...parts.keys()]) flush(socket);
    },
  };
}
