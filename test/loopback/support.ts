import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import twilio from 'twilio';
import { onTestFinished, vi } from 'vitest';
import { type Loopback, type LoopbackEvent, type LoopbackOptions, startLoopback } from '../../loopback/index.js';

const PATIENCE_MS = 5000;

/** A queue whose items can be waited for, in order. */
export function inbox<T>(what: string, patienceMs = PATIENCE_MS) {
  const items: T[] = [];
  const waiting = new Set<() => void>();
  return {
    items,
    push(item: T) {
      items.push(item);
      for (const wake of waiting) wake();
    },
    /** Takes the first item that fits, now or when it comes. */
    async take(fits: (item: T) => boolean = () => true): Promise<T> {
      const deadline = performance.now() + patienceMs;
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
            reject(new Error(`${what}: nothing that fits came; there is ${JSON.stringify(items)}`));
          }, deadline - performance.now());
          waiting.add(done);
        });
      }
    },
  };
}

export type Inbox<T> = ReturnType<typeof inbox<T>>;

/** A loopback on free ports, with all its events, stopped when the test ends. */
export async function start(options: LoopbackOptions = {}): Promise<Loopback & { events: Inbox<LoopbackEvent> }> {
  const loopback = await startLoopback({ httpPort: 0, gatewayPort: 0, ...options });
  onTestFinished(() => loopback.stop());
  const events = inbox<LoopbackEvent>('events');
  loopback.onEvent(events.push);
  return Object.assign(loopback, { events });
}

/** A device's socket on a SIM's address. */
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

/** A web server that takes webhooks and answers each with the next status of the list, the last one for ever. */
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
    /** Answers the requests that were met with silence. */
    release: () => {
      for (const answer of held.splice(0)) answer();
    },
  };
}

type Api = Pick<Loopback, 'url' | 'accountSid' | 'authToken'>;

export const authorization = ({ accountSid, authToken }: Omit<Api, 'url'>) => ({
  authorization: `Basic ${Buffer.from(`${accountSid}:${authToken}`).toString('base64')}`,
});

/** The vendor's own client. */
export function client({ url, accountSid, authToken }: Api) {
  vi.stubEnv('TWILIO_EDGE', undefined);
  vi.stubEnv('TWILIO_REGION', undefined);
  const made = twilio(accountSid, authToken);
  made.supersim.baseUrl = url;
  return made.supersim.v1;
}

/** Posts a form, and gives status and body. */
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
