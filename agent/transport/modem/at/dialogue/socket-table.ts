import { GATEWAY_ADDRESS, GATEWAY_PORT } from '../../../../../shared/limits.js';
import type { Endpoint } from '../../../endpoint.js';
import type { ModemState, Socket } from '../grammar.js';
import type { Header } from '../parser.js';

/** Keeps what is known of a modem's sockets as they are opened and closed. */
export function createSocketTable(modem: ModemState) {
  /** What the sockets being opened will be; one that is open keeps its state until it is opened anew. */
  const opening = new Map<number, Socket>();

  /** It is not open, unless it was before. */
  function fail(socket: number, state: Socket | undefined = opening.get(socket)): void {
    if (modem.sockets.get(socket) === state) modem.sockets.delete(socket);
    opening.delete(socket);
  }

  return {
    /** A command to open it was written. Its data may come at once. */
    begin(socket: number, state: Socket): void {
      opening.set(socket, state);
      if (!modem.sockets.has(socket)) modem.sockets.set(socket, state);
    },

    /** @param asked what the command in flight opens */
    opened(socket: number, asked: Socket | undefined): void {
      const state = opening.get(socket) ?? asked;
      opening.delete(socket);
      modem.closed.delete(socket);
      modem.sockets.set(socket, { ...modem.sockets.get(socket), ...state });
    },

    notOpened: (socket: number, asked?: Socket): void => fail(socket, opening.get(socket) ?? asked),

    /** @returns whether that is new */
    closed(socket: number): boolean {
      modem.sockets.delete(socket);
      if (modem.closed.has(socket)) return false;
      modem.closed.add(socket);
      return true;
    },

    /** Where a payload has come to and from; the socket is null where several are open and the modem does not tell. */
    sourceOf(header: Header): { readonly socket: number | null; readonly source: Endpoint } {
      const socket = header.socket ?? onlyOne(modem.sockets);
      const { address, port = 0 } = header;
      if (address !== undefined) return { socket, source: { address, port } };
      const peer = socket === null ? undefined : modem.sockets.get(socket)?.peer;
      return { socket, source: peer ?? { address: GATEWAY_ADDRESS, port: GATEWAY_PORT } };
    },
  };
}

/** The socket that a payload without a number came to. */
function onlyOne(sockets: ReadonlyMap<number, Socket>): number | null {
  const [socket = 0, another] = sockets.keys();
  return another === undefined ? socket : null;
}
