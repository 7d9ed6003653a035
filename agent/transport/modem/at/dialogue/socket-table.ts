import { GATEWAY_ADDRESS, GATEWAY_PORT } from '../../../../../shared/limits.js';
import type { Endpoint } from '../../../endpoint.js';
import type { ModemState, SocketState } from '../grammar.js';
import type { Header } from '../parser.js';

/** Keeps the states of a modem's sockets as they are opened and closed. */
export function createSocketTable(modem: ModemState) {
  /** States of the sockets that are being opened; an open socket keeps its state until it is opened again. */
  const opening = new Map<number, SocketState>();

  /** Opening failed: the socket is closed, unless it was open before. */
  function fail(socket: number, state: SocketState | undefined = opening.get(socket)): void {
    if (modem.sockets.get(socket) === state) modem.sockets.delete(socket);
    opening.delete(socket);
  }

  return {
    /** A command that opens the socket was written. Its data may arrive at once. */
    begin(socket: number, state: SocketState): void {
      opening.set(socket, state);
      if (!modem.sockets.has(socket)) modem.sockets.set(socket, state);
    },

    /** @param asked the state that the command in flight asked for */
    opened(socket: number, asked: SocketState | undefined): void {
      const state = opening.get(socket) ?? asked;
      opening.delete(socket);
      modem.closed.delete(socket);
      modem.sockets.set(socket, { ...modem.sockets.get(socket), ...state });
    },

    notOpened: (socket: number, asked?: SocketState): void => fail(socket, opening.get(socket) ?? asked),

    /** @returns whether it was open before */
    closed(socket: number): boolean {
      modem.sockets.delete(socket);
      if (modem.closed.has(socket)) return false;
      modem.closed.add(socket);
      return true;
    },

    /** Returns socket and source of a payload; null where several sockets are open and the modem does not name one. */
    sourceOf(header: Header): { readonly socket: number | null; readonly source: Endpoint } {
      const socket = header.socket ?? onlyOne(modem.sockets);
      const { address, port = 0 } = header;
      if (address !== undefined) return { socket, source: { address, port } };
      const peer = socket === null ? undefined : modem.sockets.get(socket)?.peer;
      return { socket, source: peer ?? { address: GATEWAY_ADDRESS, port: GATEWAY_PORT } };
    },
  };
}

/** Returns the socket of a payload without a socket number. */
function onlyOne(sockets: ReadonlyMap<number, SocketState>): number | null {
  const [socket = 0, another] = sockets.keys();
  return another === undefined ? socket : null;
}
