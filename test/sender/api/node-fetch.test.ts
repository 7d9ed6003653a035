import { createServer as createTcpServer, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { wasNeverSent } from '../../../sender/api/network-error.js';
import { type HttpAnswer, httpFetch } from '../../../sender/api/node-fetch.js';
import { closedUrl, rejection, startApi } from '../support.js';

const get = (url: string, signal = new AbortController().signal) =>
  httpFetch(new URL(url), { method: 'GET', headers: { accept: 'text/plain' }, body: null, redirect: 'manual', signal });

const post = (url: string, body: URLSearchParams) =>
  httpFetch(new URL(url), {
    ...{ method: 'POST', headers: {}, body, redirect: 'manual' },
    signal: new AbortController().signal,
  });

async function read({ body }: HttpAnswer): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body ?? []) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** A TCP server that does with each connection what it is told. */
async function startTcp(onConnection: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

describe('httpFetch', () => {
  it('sends method, headers and form, and returns status, headers and body', async () => {
    const api = await startApi((response) => response.writeHead(201, { 'retry-after': '7' }).end('yes'));
    const answer = await post(`${api.url}/a?b=c`, new URLSearchParams({ x: 'ü &', y: '1' }));
    expect(answer.status).toBe(201);
    expect([answer.headers.get('retry-after'), answer.headers.get('x-none')]).toEqual(['7', null]);
    expect(await read(answer)).toBe('yes');
    expect(api.seen[0]).toMatchObject({ method: 'POST', url: '/a?b=c', body: 'x=%C3%BC+%26&y=1' });
    expect(api.seen[0]?.headers).toMatchObject({
      'content-type': 'application/x-www-form-urlencoded;charset=UTF-8',
      'content-length': '16',
    });
    await read(await get(api.url));
    expect(api.seen[1]).toMatchObject({ method: 'GET', body: '', headers: { accept: 'text/plain' } });
  });

  it('keeps connections alive for the next request', async () => {
    const ports = new Set<number | undefined>();
    const api = await startApi((response) => {
      ports.add(response.socket?.remotePort);
      response.end('yes');
    });
    for (let request = 0; request < 5; request++) await read(await get(api.url));
    expect(ports.size).toBe(1);
  });

  it('does not follow redirects', async () => {
    const api = await startApi((response) => response.writeHead(302, { location: '/other' }).end());
    expect((await get(api.url)).status).toBe(302);
    expect(api.seen).toHaveLength(1);
  });

  it('decodes gzip', async () => {
    const text = 'much of the same '.repeat(1000);
    const api = await startApi((response, { headers }) => {
      expect(headers['accept-encoding']).toBe('gzip');
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(text));
    });
    expect(await read(await get(api.url))).toBe(text);
  });

  it.each([
    ['breaks off', Buffer.from('half'), { 'content-length': '1000' }],
    ['breaks off in gzip', gzipSync('much'.repeat(1000)).subarray(0, 20), { 'content-encoding': 'gzip' }],
    ['is no gzip', Buffer.from('plain'), { 'content-encoding': 'gzip' }],
  ])('fails while reading the body when the answer %s', async (_, bytes, headers) => {
    const api = await startApi((response) => {
      response.writeHead(200, { ...headers }).write(bytes);
      setImmediate(() => response.destroy());
    });
    const answer = await get(api.url);
    expect(answer.status).toBe(200);
    expect(await rejection(read(answer))).toBeInstanceOf(Error);
  });

  it('rejects with the signal’s reason when aborted', async () => {
    const api = await startApi(() => undefined);
    const abort = new AbortController();
    const failed = rejection(get(api.url, abort.signal));
    await expect.poll(() => api.seen).toHaveLength(1);
    abort.abort(new Error('enough'));
    const error = await failed;
    expect(error).toMatchObject({ cause: new Error('enough') });
    expect(wasNeverSent(error)).toBe(false);
    expect(await rejection(get(api.url, abort.signal))).toEqual(new Error('enough'));
  });
});

describe('httpFetch is sure that nothing was sent', () => {
  it('when no server listens', async () => {
    const error = await rejection(get(await closedUrl()));
    expect(wasNeverSent(error)).toBe(true);
    expect(error).toMatchObject({ cause: { message: expect.stringContaining('ECONNREFUSED') } });
  });

  it.each(['localhost', 'no-such-host.invalid'])('when the name %s cannot be resolved', async (host) => {
    const { port } = new URL(await closedUrl());
    expect(wasNeverSent(await rejection(get(`http://${host}:${port}/`)))).toBe(true);
  });

  it('when there is no TLS', async () => {
    const port = await startTcp((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    expect(wasNeverSent(await rejection(get(`https://127.0.0.1:${port}/`)))).toBe(true);
  });

  it('when the TLS handshake does not finish', async () => {
    const port = await startTcp(() => undefined);
    const abort = new AbortController();
    setTimeout(() => abort.abort(new Error('enough')), 50);
    const error = await rejection(get(`https://127.0.0.1:${port}/`, abort.signal));
    expect(wasNeverSent(error)).toBe(true);
    expect(error).toMatchObject({ cause: { message: 'enough' } });
  });
});

describe('httpFetch knows that something may have been sent', () => {
  it.each<[string, (socket: Socket) => void]>([
    ['at once', (socket) => socket.destroy()],
    ['when it has read', (socket) => socket.once('data', () => socket.resetAndDestroy())],
    ['in the middle of the answer’s head', (socket) => socket.once('data', () => socket.end('HTTP/1.1 2'))],
  ])('when the other side closes %s', async (_, onConnection) => {
    const port = await startTcp(onConnection);
    expect(wasNeverSent(await rejection(post(`http://127.0.0.1:${port}/`, new URLSearchParams({ a: '1' }))))).toBe(
      false,
    );
  });

  it('when what answers is not HTTP', async () => {
    const port = await startTcp((socket) => socket.once('data', () => socket.end('SSH-2.0-OpenSSH\r\n')));
    expect(wasNeverSent(await rejection(get(`http://127.0.0.1:${port}/`)))).toBe(false);
  });
});
