import type { Endpoint } from '../../network/network.js';
import type { Received, SocketView } from './dialect.js';

/** Bytes that a socket keeps for the host; datagrams beyond that are discarded. */
const MAX_UNREAD_BYTES = 32_768;
const FIRST_EPHEMERAL = 50_000;

export interface ModemSocket {
  readonly id: number;
  readonly port: number;
  /** The only source whose datagrams are taken; undefined: every source's. */
  peer: Endpoint | undefined;
  /** Datagrams that the host has not read; the first one may be read in part. */
  queue: Received[];
  /** Whether the next datagram is announced by a URC. */
  armed: boolean;
  /** The network has closed it. */
  closed: boolean;
}

/** The UDP sockets of a modem, by the numbers that the dialect gives them. */
export interface ModemSockets {
  get(id: number): ModemSocket | undefined;
  all(): ModemSocket[];
  /**
   * Opens a socket; returns undefined when another one has the port.
   *
   * @param port 0 takes any free one
   */
  open(id: number, port: number, peer?: Endpoint): ModemSocket | undefined;
  /** Opens a socket for one peer of a listener, on the listener's port. */
  accept(id: number, port: number, peer: Endpoint): ModemSocket;
  close(id: number): void;
  closeAll(): ModemSocket[];
  /** The socket that takes datagrams from this source to this port. */
  receiverAt(port: number, source: Endpoint): ModemSocket | undefined;
  views(): SocketView[];
}

export function createSockets(): ModemSockets {
  const sockets = new Map<number, ModemSocket>();
  const all = () => [...sockets.values()];
  const isFree = (port: number) => all().every((socket) => socket.port !== port);
  const freePort = () => {
    let port = FIRST_EPHEMERAL;
    while (!isFree(port)) port += 1;
    return port;
  };
  const add = (id: number, port: number, peer: Endpoint | undefined) => {
    const socket: ModemSocket = { id, port, peer, queue: [], armed: true, closed: false };
    sockets.set(id, socket);
    return socket;
  };
  return {
    get: (id) => sockets.get(id),
    all,
    open(id, wanted, peer) {
      const port = wanted === 0 ? freePort() : wanted;
      if (!isFree(port)) return undefined;
      return add(id, port, peer);
    },
    accept: add,
    close: (id) => void sockets.delete(id),
    closeAll() {
      const closed = all();
      sockets.clear();
      return closed;
    },
    receiverAt: (port, source) =>
      all().find(
        ({ port: own, peer, closed }) =>
          own === port &&
          !closed &&
          (peer === undefined || (peer.address === source.address && peer.port === source.port)),
      ),
    views: () => all().map(({ id, port, queue }) => ({ id, port, waiting: queue.length })),
  };
}

/** Queues a datagram. Returns false when there is no room for it. */
export function enqueue(socket: ModemSocket, datagram: Received): boolean {
  if (unreadBytes(socket) + datagram.bytes.length > MAX_UNREAD_BYTES) return false;
  socket.queue.push(datagram);
  return true;
}

export const unreadBytes = ({ queue }: ModemSocket): number => queue.reduce((sum, { bytes }) => sum + bytes.length, 0);

/** Takes up to `most` bytes of all queued datagrams, as a stream without boundaries. */
export function takeStream(socket: ModemSocket, most: number): Buffer {
  const parts: Buffer[] = [];
  let room = most;
  while (room > 0) {
    const part = takeFirst(socket, room);
    if (part === undefined) break;
    parts.push(part.bytes);
    room -= part.bytes.length;
  }
  return Buffer.concat(parts);
}

/** Takes up to `most` bytes of the first datagram; the rest of it stays first. */
export function takeFirst(socket: ModemSocket, most: number): Received | undefined {
  const first = socket.queue.shift();
  if (first === undefined || first.bytes.length <= most) return first;
  socket.queue.unshift({ ...first, bytes: first.bytes.subarray(most) });
  return { ...first, bytes: first.bytes.subarray(0, most) };
}
