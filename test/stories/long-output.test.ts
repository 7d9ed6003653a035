import { createServer } from 'node:net';
import { join } from 'node:path';
import { decode, encode } from 'cborg';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createAgent } from '../../agent/index.js';
import { findBlock } from '../../shared/coap/block.js';
import { CONTENT_FORMAT } from '../../shared/coap/content-format.js';
import { parseMessage } from '../../shared/coap/message.js';
import { OPTION } from '../../shared/coap/options.js';
import { requestBytes } from '../support/coap.js';
import { temporaryFolder } from '../support/files.js';
import { openPeer, randomAddress } from '../support/udp.js';

const TOTAL = 100_000_000;
/** More than a datagram holds, and in the middle of a character. */
const CUT = { bytes: 7000, outputBytes: 3001 };
const shell = (script: string, outputBytes = 65_536) => ({ program: ['/bin/sh', '-c', script], outputBytes });

/** A service that is not a program: it writes as much as `euros` does. */
async function startService(): Promise<string> {
  const path = join(temporaryFolder(), 'service.sock');
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.end(`x${'€'.repeat(2332)}xx\nok\n`));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => void server.close());
  return path;
}

type Peer = Awaited<ReturnType<typeof openPeer>>;

/** An agent whose handlers write more than they may, and a peer of it. */
async function startAgent({ folder = temporaryFolder(), peer: given }: { folder?: string; peer?: Peer } = {}) {
  const address = randomAddress();
  const agent = createAgent({
    config: {
      listen: { address, receiveBufferBytes: 65_536 },
      allow: ['127.0.0.0/8'],
      state: { folder },
      security: { unprotected: 'allow' },
      handlers: {
        flood: shell(`head -c ${TOTAL} /dev/zero | tr '\\0' x`),
        euros: shell("printf x; yes € | tr -d '\\n' | head -c 6999", CUT.outputBytes),
        bytes: shell("head -c 7000 /dev/zero | tr '\\0' '\\377'", CUT.outputBytes),
        'few-bytes': shell("head -c 7000 /dev/zero | tr '\\0' '\\377'", 3),
        little: shell("head -c 7000 /dev/zero | tr '\\0' x", 3),
        service: { socket: await startService(), outputBytes: CUT.outputBytes },
      },
    },
  });
  await agent.start();
  onTestFinished(() => agent.stop());
  const peer = given ?? (await openPeer());
  return { agent, peer, ask: (bytes: Uint8Array | string) => peer.ask(bytes, { address, port: 6969 }) };
}

type Ask = (bytes: Uint8Array) => Promise<Buffer>;

/** Posts a command and reads all blocks of its response. */
async function readBlocks(ask: Ask, path: string, accept: number | undefined, token: string): Promise<Buffer> {
  const body: Buffer[] = [];
  for (let number = 0, more = true; more; number++) {
    const block2 = { number, more: false, exponent: 6 };
    // Slow is no matter: there is no acknowledgement to come first.
    const setup = { type: 'NON' as const, path, messageId: number, token, requestTag: token, block2 };
    const { code, options, payload } = parseMessage(
      await ask(requestBytes(accept === undefined ? setup : { ...setup, accept })),
    );
    expect(code, `block ${number}`).toBe('2.04');
    const block = findBlock(options, OPTION.block2);
    more = typeof block === 'object' && block.more;
    body.push(payload);
  }
  return Buffer.concat(body);
}

/** Output of `euros` as it is cut: 3001 bytes are an x, and 1000 characters of 3 bytes. */
const EUROS = `x${'€'.repeat(1000)}`;

describe('a program that writes 100 MB', () => {
  it('has its true size in the reply, in the reply to a repeat, and in blocks', async () => {
    const { ask } = await startAgent();
    const reply = await ask('#1 flood');
    expect(reply.length).toBe(1300);
    expect(reply.toString()).toMatch(/^#1 ok x+ …\[cut, 100000000 bytes\]$/);
    // It fills the datagram, so there is no room for the word `repeat`.
    expect(await ask('#1 flood')).toEqual(reply);
    const response = await readBlocks(ask, 'flood', undefined, 'f');
    expect(response.toString()).toBe(`${'x'.repeat(65_536)} …[cut, 100000000 bytes]`);
  });
});

describe('output that is longer than what is kept of it', () => {
  it.each([
    ['a program', 'euros'],
    ['a service', 'service'],
  ])('of %s is told with its true size in text, and between two characters', async (_, name) => {
    const { ask } = await startAgent();
    const first = (await ask(`#1 ${name}`)).toString();
    expect(first).toMatch(/^#1 ok x€+ …\[cut, 7000 bytes\]$/);
    expect(Buffer.byteLength(first)).toBeGreaterThan(1300 - 4);
    expect((await ask(`#1 ${name}`)).toString()).toBe(first);
    expect((await ask('#1 little')).toString()).toBe('#1 ok xxx …[cut, 7000 bytes]');
    expect((await ask('#1 little')).toString()).toBe('#1 repeat ok xxx …[cut, 7000 bytes]');
  });

  it.each([
    [
      'JSON',
      (document: unknown) => Buffer.from(JSON.stringify(document)),
      (bytes: Buffer) => JSON.parse(String(bytes)),
    ],
    ['CBOR', (document: unknown) => Buffer.from(encode(document)), (bytes: Buffer) => decode(bytes)],
  ])('is told with its true size in %s, alone, in a batch and to a repeat', async (format, write, read) => {
    const { ask } = await startAgent();
    const cut = (bytes: number) => ({ result: { cut: true, bytes, head: expect.anything() } });
    const head =
      format === 'JSON' ? { base64: Buffer.alloc(3, 0xff).toString('base64') } : new Uint8Array(3).fill(0xff);
    for (const method of ['euros', 'service', 'bytes', 'few-bytes']) {
      const request = write({ id: method, method });
      const response = read(await ask(request));
      expect(response).toMatchObject({ id: method, ...cut(7000) });
      if (method === 'few-bytes') expect(response.result.head).toEqual(head);
      const repeat = method === 'few-bytes' ? { repeat: true } : {};
      expect(read(await ask(request))).toEqual({ ...response, ...repeat });
    }
    const batch = ['little', 'euros', 'bytes'].map((method) => ({ id: `batch ${method}`, method }));
    const replies = read(await ask(write(batch)));
    // They are in the order in which the programs ended.
    const of = (id: string) => replies.find((one: { id: string }) => one.id === id);
    for (const { id } of batch) expect(of(id)).toMatchObject(cut(7000));
    expect(of('batch little').result.head).toBe('xxx');
  });

  it('is told with its true size in CoAP, in each format that it can be asked for in', async () => {
    const { ask } = await startAgent();
    const read = (path: string, accept?: number) => readBlocks(ask, path, accept, `${path.slice(0, 4)}${accept ?? ''}`);
    expect((await read('euros')).toString()).toBe(`${EUROS} …[cut, 7000 bytes]`);
    expect((await read('service', CONTENT_FORMAT.text)).toString()).toBe(`${EUROS} …[cut, 7000 bytes]`);
    const cut = { cut: true, bytes: 7000, head: EUROS };
    expect(JSON.parse((await read('euros', CONTENT_FORMAT.json)).toString())).toEqual(cut);
    expect(decode(await read('euros', CONTENT_FORMAT.cbor))).toEqual(cut);
    const bytes = Buffer.alloc(CUT.outputBytes, 0xff);
    expect(await read('bytes')).toEqual(Buffer.concat([bytes, Buffer.from(' …[cut, 7000 bytes]')]));
    expect(decode(await read('bytes', CONTENT_FORMAT.cbor))).toEqual({ ...cut, head: new Uint8Array(bytes) });
    expect((await read('little')).toString()).toBe('xxx …[cut, 7000 bytes]');
  });

  it('keeps its size in the journal: a repeat after a restart is told the same', async () => {
    const folder = temporaryFolder();
    const { agent, peer, ask } = await startAgent({ folder });
    const first = await ask('#1 euros');
    await agent.stop();
    const { ask: askAgain } = await startAgent({ folder, peer });
    expect(await askAgain('#1 euros')).toEqual(first);
  });
});
