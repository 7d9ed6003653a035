import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import twilio from 'twilio';
import { onTestFinished, vi } from 'vitest';
import { type Loopback, type LoopbackEvent, type LoopbackOptions, startLoopback } from '../../loopback/index.js';
import { WAIT_MS } from '../support/wait.js';

/** A queue whose items can be awaited; `what` names them in the error of a time-out. */
export function inbox<T>(what: string, waitMs = WAIT_MS) {
  const items: T[] = [];
  const waiting = new Set<() => void>();
  return {
    items,
    push(item: T) {
      items.push(item);
      for (const wake of waiting) wake();
    },
    /** Removes and returns the first item that fits, now or when it arrives. */
    async take(fits: (item: T) => boolean = () => true): Promise<T> {
      const deadline = performance.now() + waitMs;
      for (;;) {
        const index = items.findIndex(fits);
        const [item] = index === -1 ? [] : items.splice(index, 1);
        if (item !== undefined) return item;
        await new Promise<void>((resolve, reject) => {
          const done = () => {
            clearTimeout(timer);
            waiting.delete(done);
            resolve();
          };
          const timer = setTimeout(() => {
            waiting.delete(done);
            reject(new Error(`${what}: no matching item in ${waitMs} ms; instead: ${JSON.stringify(items)}`));
          }, deadline - performance.now());
          waiting.add(done);
        });
      }
    },
  };
}

export type Inbox<T> = ReturnType<typeof inbox<T>>;

/** Starts a loopback on free ports, with all its events; it stops with the test. */
export async function start(options: LoopbackOptions = {}): Promise<Loopback & { events: Inbox<LoopbackEvent> }> {
  const loopback = await startLoopback({ httpPort: 0, gatewayPort: 0, ...options });
  onTestFinished(() => loopback.stop());
  const events = inbox<LoopbackEvent>('events');
  loopback.onEvent(events.push);
  return Object.assign(loopback, { events });
}

/** Opens a device's socket on a SIM's address. */
export async function device(address = '127.0.0.2') {
  const socket = createSocket('udp4');
  socket.bind(0, address);
  await once(socket, 'listening');
  onTestFinished(() => void socket.close());
  const received = inbox<{ bytes: Buffer; from: { address: string; port: number } }>(`datagrams at ${address}`);
  socket.on('message', (bytes, { address, port }) => received.push({ bytes, from: { address, port } }));
  return {
    port: socket.address().port,
    next: () => received.take(),
    send: (bytes: Buffer | string, to: { address: string; port: number }) =>
      new Promise<void>((resolve, reject) => {
        socket.send(bytes, to.port, to.address, (error) => (error ? reject(error) : resolve()));
      }),
  };
}

export interface ReceivedRequest {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  body: string;
}

/** Starts a web server for webhooks, which responds with the statuses of the list in turn, and then with the last. */
export async function receiver(...statuses: (number | 'silent')[]) {
  const requests = inbox<ReceivedRequest>('webhooks');
  const held: (() => void)[] = [];
  let count = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const status = statuses[Math.min(count, statuses.length - 1)] ?? 200;
      count += 1;
      const { method = '', url = '', headers } = request;
      requests.push({ method, url, headers, body: Buffer.concat(chunks).toString() });
      if (status === 'silent') held.push(() => response.writeHead(200).end());
      else response.writeHead(status, { location: '/elsewhere' }).end('thank you');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const bound = server.address();
  const port = typeof bound === 'object' ? (bound?.port ?? 0) : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    requests,
    count: () => count,
    /** Responds to the requests that got no response. */
    release: () => {
      for (const answer of held.splice(0)) answer();
    },
  };
}

type Api = Pick<Loopback, 'url' | 'accountSid' | 'authToken'>;

export const authorization = ({ accountSid, authToken }: Omit<Api, 'url'>) => ({
  authorization: `Basic ${Buffer.from(`${accountSid}:${authToken}`).toString('base64')}`,
});

/** The vendor's official client. */
export function client({ url, accountSid, authToken }: Api) {
  vi.stubEnv('TWILIO_EDGE', undefined);
  vi.stubEnv('TWILIO_REGION', undefined);
  const made = twilio(accountSid, authToken);
  made.supersim.baseUrl = url;
  return made.supersim.v1;
}

/** Posts a form, and returns status and body. */
export async function post(loopback: Api, path: string, form: Record<string, string>) {
  const response = await fetch(`${loopback.url}${path}`, {
    method: 'POST',
    headers: authorization(loopback),
    body: new URLSearchParams(form),
  });
  const body: unknown = await response.json();
  return { status: response.status, body };
}

export async function get(loopback: Api, path: string) {
  const response = await fetch(new URL(path, loopback.url), { headers: authorization(loopback) });
  const body: unknown = await response.json();
  return { status: response.status, body };
}

export const isStatus = (status: string) => (event: LoopbackEvent) =>
  event.type === 'command' && event.command.status === status;

export const isType = (type: LoopbackEvent['type']) => (event: LoopbackEvent) => event.type === type;
