import type { Server as HttpServer } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { messageOf } from '../../../shared/errors.js';
import type { Log } from '../../base/log.js';
import { listenOnFile } from './socket-file.js';
import type { ControlTarget } from './target.js';

/** How many clients are served at once; the connection of one more is closed. */
const MAX_CONNECTIONS = 8;
/** From the connection to the last byte of the answer, but where that is known to take its time. */
const CONNECTION_MS = 10_000;
/** How long a stop waits for the answers that are being made. */
const STOP_MS = 1000;

export interface ControlOptions {
  /** The socket's file. */
  readonly path: string;
  readonly target: ControlTarget;
  readonly log: Log;
}

export interface ControlSocket {
  /**
   * Listens; to be called once.
   *
   * @throws SupersimError `port-in-use` when another agent has the socket, `bad-input` for a path that cannot be used;
   * and whatever the file system says. The agent can do without it.
   */
  start(): Promise<void>;
  /** Answers what has been asked, for 1 s at most, and removes the file. Can be called again. */
  stop(): Promise<void>;
}

/**
 * The agent's control socket: HTTP on a Unix socket, whose file's permissions say who may use it. One request a
 * connection. HTTP itself is loaded when the first client comes.
 */
export function createControlSocket({ path, target, log }: ControlOptions): ControlSocket {
  /** Each with what ends it when its time is over. */
  const connections = new Map<Socket, NodeJS.Timeout>();
  /** Those of the connections that wait for their answer. */
  const answering = new Set<Socket>();
  // Paused, so that nothing is read before HTTP is there to read it.
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, accept);
  server.maxConnections = MAX_CONNECTIONS;
  let http: Promise<HttpServer> | undefined;
  let starting: Promise<void> | undefined;
  let stopped: Promise<void> | undefined;
  let removeFile: () => void = () => undefined;

  async function open(): Promise<void> {
    removeFile = await listenOnFile(server, path);
    server.on('error', (error) => log.warn({ error: error.message, path }, 'the control socket failed'));
    log.debug({ path }, 'control socket open');
  }

  function accept(socket: Socket): void {
    bound(socket, CONNECTION_MS);
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
        log.error({ error: messageOf(error) }, 'the control socket cannot load HTTP');
        socket.destroy();
      },
    );
  }

  /** HTTP's own time-outs count only for connections that its server has accepted itself. */
  function bound(socket: Socket, milliseconds: number): void {
    clearTimeout(connections.get(socket));
    connections.set(
      socket,
      setTimeout(() => socket.destroy(), milliseconds),
    );
  }

  async function loadHttp(): Promise<HttpServer> {
    const { createControlServer, answerMs } = await import('./http.js');
    const loaded = createControlServer(target, log);
    loaded.prependListener('request', ({ socket, url }) => {
      answering.add(socket);
      const most = answerMs(url);
      if (most !== undefined) bound(socket, most);
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
