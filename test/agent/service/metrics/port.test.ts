import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { silentLog } from '../../../../agent/base/log.js';
import { openMetricsPort } from '../../../../agent/service/metrics/port.js';
import { recordingLog } from '../../../support/log.js';
import { freeTcpPort } from '../../../support/tcp.js';

async function open(render = async () => '# HELP a b\n# TYPE a gauge\na 1\n', log = silentLog) {
  const port = await freeTcpPort();
  const opened = await openMetricsPort(port, render, log);
  onTestFinished(() => opened.stop());
  return { port, url: `http://127.0.0.1:${port}`, opened };
}

async function connect(port: number): Promise<Socket> {
  const socket = createConnection(port, '127.0.0.1');
  socket.on('error', () => undefined);
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** All that comes on a connection until the other side closes it. */
async function read(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'close');
  return Buffer.concat(chunks).toString();
}

describe('openMetricsPort', () => {
  it('answers a scrape of Prometheus, one per connection', async () => {
    const { url, port } = await open();
    const answer = await fetch(`${url}/metrics`);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(answer.headers.get('connection')).toBe('close');
    expect(await answer.text()).toBe('# HELP a b\n# TYPE a gauge\na 1\n');
    const head = await fetch(`${url}/metrics?x=1`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
    const socket = await connect(port);
    socket.write('GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(20));
    expect((await read(socket)).match(/200 OK/g)).toHaveLength(1);
  });

  it.each([
    ['GET', '/', 404],
    ['GET', '/metricsx', 404],
    ['GET', '//metrics', 404],
    ['POST', '/metrics', 405],
    ['DELETE', '/metrics', 405],
  ])('answers %s %s with %i', async (method, path, status) => {
    const { url } = await open();
    expect((await fetch(`${url}${path}`, { method })).status).toBe(status);
  });

  it('survives malformed requests, and metrics that cannot be rendered', async () => {
    const { log, withMessage } = recordingLog();
    let broken = true;
    const render = async () => {
      if (broken) throw new Error('no metrics');
      return 'a 1\n';
    };
    const { url, port } = await open(render, log);
    await expect(fetch(`${url}/metrics`)).rejects.toThrow();
    expect(withMessage('metrics port: cannot render the metrics')).toHaveLength(1);
    broken = false;
    for (const bytes of ['hello\r\n\r\n', '\x16\x03\x01\r\n\r\n', `GET /${'x'.repeat(100_000)}`]) {
      const socket = await connect(port);
      socket.write(bytes);
      expect(await read(socket)).toMatch(/^HTTP\/1\.1 4/);
    }
    expect((await fetch(`${url}/metrics`)).status).toBe(200);
  });

  it('serves 8 concurrent connections, for 10 s at most', async () => {
    const { url, port } = await open();
    const idle = [];
    for (let count = 0; count < 8; count++) idle.push(await connect(port));
    const began = performance.now();
    expect(await read(await connect(port))).toBe('');
    expect(performance.now() - began).toBeLessThan(5000);
    await Promise.all(idle.map(read));
    expect(performance.now() - began).toBeGreaterThan(9000);
    expect(performance.now() - began).toBeLessThan(15_000);
    expect((await fetch(`${url}/metrics`)).status).toBe(200);
  });

  it('listens on the loopback address only, and closes at the stop', async () => {
    const { url, port, opened } = await open();
    const elsewhere = createConnection(port, '127.0.0.2');
    const [refused] = await once(elsewhere, 'error');
    expect(refused).toMatchObject({ code: 'ECONNREFUSED' });
    const idle = await connect(port);
    const closed = once(idle, 'close');
    await opened.stop();
    await closed;
    await expect(fetch(`${url}/metrics`)).rejects.toThrow();
  });

  it('reports that another program uses the port', async () => {
    const { port } = await open();
    await expect(openMetricsPort(port, async () => '', silentLog)).rejects.toMatchObject({ code: 'port-in-use' });
  });
});
