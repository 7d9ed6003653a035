import type { Server as HttpServer } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { messageOf } from '../../../shared/errors.js';
import type { Log } from '../../base/log.js';
import { importLater } from '../../base/shortage.js';
import { listenOnFile } from './socket-file.js';
import type { ControlTarget } from './target.js';

/** Maximum concurrent clients; further connections are closed. */
const MAX_CONNECTIONS = 8;
/** Time limit from the connection to the last byte of the answer, unless the route has its own. */
const CONNECTION_MS = 10_000;
/** How long a stop waits for pending answers. */
const STOP_MS = 1000;

export interface ControlOptions {
  /** Path of the socket file. */
  readonly path: string;
  readonly target: ControlTarget;
  readonly log: Log;
}

export interface ControlSocket {
  /**
   * Starts to listen; call it once.
   *
   * @throws SupersimError `port-in-use` when another agent has the socket, `bad-input` for a path that cannot be used;
   * and file system errors. The agent works without the control socket.
   */
  start(): Promise<void>;
  /** Finishes pending answers within 1 s and removes the file. May be called again. */
  stop(): Promise<void>;
}

/**
 * Makes the agent's control socket: HTTP on a Unix socket. The file's permissions decide who may use it. Each
 * connection serves one request. The HTTP code is loaded for the first client.
 */
export function createControlSocket({ path, target, log }: ControlOptions): ControlSocket {
  /** Open connections with their time-outs. */
  const connections = new Map<Socket, NodeJS.Timeout>();
  /** Connections with a pending answer. */
  const answering = new Set<Socket>();
  // Paused until the HTTP code is loaded.
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, accept);
  server.maxConnections = MAX_CONNECTIONS;
  let http: Promise<HttpServer> | undefined;
  let starting: Promise<void> | undefined;
  let stopped: Promise<void> | undefined;
  let removeFile: () => void = () => undefined;

  async function open(): Promise<void> {
    removeFile = await listenOnFile(server, path);
    server.on('error', (error) => log.warn({ error: error.message, path }, 'control socket failed'));
    log.debug({ path }, 'control socket open');
  }

  function accept(socket: Socket): void {
    limitTime(socket, CONNECTION_MS);
    socket.on('error', () => undefined);
    socket.once('close', () => {
      clearTimeout(connections.get(socket));
      connections.delete(socket);
      answering.delete(socket);
    });
    http ??= loadHttp();
    http.then(
      (loaded) => {
        if (socket.destroyed) return;
        loaded.emit('connection', socket);
        socket.resume();
      },
      (error: unknown) => {
        http = undefined;
        log.error({ error: messageOf(error) }, 'control socket: cannot load HTTP');
        socket.destroy();
      },
    );
  }

  /** The HTTP server's own time-outs apply only to connections that it has accepted itself. */
  function limitTime(socket: Socket, milliseconds: number): void {
    clearTimeout(connections.get(socket));
    connections.set(
      socket,
      setTimeout(() => socket.destroy(), milliseconds),
    );
  }

  async function loadHttp(): Promise<HttpServer> {
    const { createControlServer, answerMs } = await importLater(() => import('./http.js'));
    const loaded = createControlServer(target, log);
    loaded.prependListener('request', ({ socket, url }) => {
      answering.add(socket);
      const limit = answerMs(url);
      if (limit !== undefined) limitTime(socket, limit);
    });
    return loaded;
  }

  async function close(): Promise<void> {
    await starting?.catch(() => undefined);
    if (!server.listening) return;
    const closed = new Promise((resolve) => server.close(resolve));
    removeFile();
    for (const socket of connections.keys()) if (!answering.has(socket)) socket.destroy();
    const late = setTimeout(() => {
      for (const socket of connections.keys()) socket.destroy();
    }, STOP_MS);
    await closed;
    clearTimeout(late);
  }

  return {
    start() {
      starting ??= open();
      return starting;
    },
    stop() {
      stopped ??= close();
      return stopped;
    },
  };
}
