import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readBody, readInput } from '../../../shared/async/read-body.js';

const stream = (...chunks: (string | Uint8Array)[]) => Readable.from(chunks, { objectMode: true });

async function* breaking() {
  yield Buffer.from('ab');
  throw new Error('it broke off');
}

describe('readBody', () => {
  it('gives all bytes of a stream, of bytes or text, up to the limit itself', async () => {
    expect(await readBody(stream(Buffer.from('ab'), 'ä'), 4)).toEqual(Buffer.from('abä'));
    expect(await readBody(stream(), 0)).toEqual(Buffer.alloc(0));
    expect(await readBody(null, 0)).toEqual(Buffer.alloc(0));
    expect(await readBody(new Blob(['abc']).stream(), 3)).toEqual(Buffer.from('abc'));
  });

  it('cancels a longer stream', async () => {
    const source = stream('ab', 'cd', 'ef');
    expect(await readBody(source, 3)).toBeUndefined();
    expect(source.destroyed).toBe(true);
  });

  it('rejects when the stream breaks off', async () => {
    await expect(readBody(breaking(), 100)).rejects.toThrow('it broke off');
  });

  it('discards the rest of a longer request, whose sender gets an answer before it has sent all', async () => {
    let received: Promise<unknown> | undefined;
    const server = createServer(async (incoming: IncomingMessage, response) => {
      received = once(incoming, 'end');
      response.end((await readBody(incoming, 10, 'discard')) === undefined ? 'too long' : 'short');
    }).listen(0, '127.0.0.1');
    const agent = new Agent({ keepAlive: true });
    onTestFinished(() => {
      agent.destroy();
      server.close();
    });
    await once(server, 'listening');
    const { port }: AddressInfo = Object.assign({ port: 0, address: '', family: '' }, server.address());
    const outgoing = request({ port, host: '127.0.0.1', method: 'POST', agent });
    outgoing.write('x'.repeat(100));
    const [response]: IncomingMessage[] = await once(outgoing, 'response');
    expect(String(await response?.toArray())).toBe('too long');
    outgoing.end('y'.repeat(1_000_000));
    await received;
  });
});

describe('readInput', () => {
  it('gives the bytes', async () => {
    expect(await readInput(stream('abc'), 'a.txt', 3)).toEqual(Buffer.from('abc'));
  });

  it('names the input that is too long, and what to do', async () => {
    await expect(readInput(stream('abcd'), 'a.txt', 3, 'Send less.')).rejects.toMatchObject({
      code: 'too-large',
      message: 'a.txt is longer than 3 bytes',
      remedy: 'Send less.',
    });
  });

  it('names the input that cannot be read', async () => {
    await expect(readInput(breaking(), 'a.txt', 100)).rejects.toMatchObject({
      code: 'bad-input',
      message: 'a.txt cannot be read: it broke off',
    });
  });
});
