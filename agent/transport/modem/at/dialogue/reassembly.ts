import type { Endpoint } from '../../../endpoint.js';

/** No datagram is put together to more than a packet of the network holds. */
const MAX_JOINED = 1500;

/** Puts datagrams together that a modem gives in parts. */
export function createReassembly(deliver: (socket: number, source: Endpoint, bytes: Buffer) => void) {
  /** The first parts of datagrams that may go on in the next read. */
  const parts = new Map<number, { readonly bytes: Buffer; readonly source: Endpoint }>();

  /** The datagram of which a part was read has no more. */
  function flush(socket: number): void {
    const part = parts.get(socket);
    parts.delete(socket);
    if (part !== undefined) deliver(socket, part.source, part.bytes);
  }

  return {
    /** @param partial whether it may go on in the next read */
    take(socket: number, source: Endpoint, bytes: Buffer, partial: boolean): void {
      const first = parts.get(socket);
      const isRest =
        first !== undefined &&
        first.source.address === source.address &&
        first.source.port === source.port &&
        first.bytes.length + bytes.length <= MAX_JOINED;
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
