import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decode } from 'cborg';
import { Agent, type CoapRequestParams, type IncomingMessage } from 'coap';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createAgent, defineHandler, type HandlerDefinition } from '../../agent/index.js';
import { parseMessage } from '../../shared/coap/message.js';
import { requestBytes, summary, withoutId } from '../support/coap.js';
import { deferred } from '../support/deferred.js';
import { temporaryFolder, writeFile } from '../support/files.js';
import { needs } from '../support/needs.js';
import { runProcess, startProcess } from '../support/process.js';
import { openPeer, randomAddress } from '../support/udp.js';

/** All byte values, and no two blocks alike. */
const LONG = Buffer.from(Array.from({ length: 20_000 }, (_, index) => (index ^ (index >> 8)) & 0xff));
const SCRIPT = LONG.subarray(3, 10_003);

/** An agent with handlers for long bodies, and how often each that may not run twice did. */
async function startAgent(handlers: readonly HandlerDefinition[] = []) {
  const runs: unknown[] = [];
  const address = randomAddress();
  const long = defineHandler({
    name: 'log.take',
    description: 'Gives the log and empties it',
    run: () => {
      runs.push('log.take');
      return LONG;
    },
  });
  const read = defineHandler({ name: 'log.read', description: 'Gives the log', safe: true, run: () => LONG });
  const store = defineHandler({
    name: 'script.store',
    description: 'Keeps a script, "as it is"',
    run: (_, { command }) => {
      runs.push(command.params.positional[0]);
      return 'stored';
    },
  });
  const agent = createAgent({
    config: { listen: { address, receiveBufferBytes: 65_536 }, allow: ['127.0.0.0/8'] },
    handlers: [long, read, store, ...handlers],
  });
  await agent.start();
  onTestFinished(() => agent.stop());
  return { agent, runs, endpoint: { address, port: 6969 }, url: (path: string) => `coap://${address}:6969/${path}` };
}

/** A handler that runs until it is let go. */
function heldHandler() {
  const release = deferred<string>();
  const runs: unknown[] = [];
  const handler = defineHandler({
    name: 'hold',
    description: 'Waits',
    run: (_, { command }) => {
      runs.push(command);
      return release.promise;
    },
  });
  return { handler, runs, release: () => release.resolve('released') };
}

describe.skipIf(needs('coap-client-notls'))('libcoap’s client', () => {
  const client = (...args: string[]) => runProcess('coap-client-notls', args);
  const text = async (...args: string[]) => (await client(...args)).output.trim();
  /** What it got, byte by byte. */
  async function bytes(...args: string[]): Promise<Buffer> {
    const file = join(temporaryFolder(), 'reply');
    const { code, output } = await client('-o', file, ...args);
    expect({ code, output: output.trim() }).toEqual({ code: 0, output: '' });
    return readFileSync(file);
  }

  it('gets, posts, and finds out what there is', async () => {
    const { url } = await startAgent();
    expect(await text('-m', 'get', url('ping'))).toBe('pong');
    expect(await text('-m', 'post', '-e', 'one two', url('echo'))).toBe('["one","two"]');
    expect(await text('-m', 'get', url('echo?a=1&b=x%20y'))).toBe('{"a":"1","b":"x y"}');
    const links = await text('-m', 'get', url('.well-known/core'));
    expect(links).toContain('</ping>;title="Answers pong";rt="supersim.command"');
    expect(links).toContain('</script/store>;title="Keeps a script, \\"as it is\\"";');
  });

  it('asks non-confirmably too', async () => {
    const { url } = await startAgent();
    expect(await text('-N', '-m', 'get', url('ping'))).toBe('pong');
  });

  it.each([
    ['text', '0', Buffer.from('pong')],
    ['octets', '42', Buffer.from('pong')],
    ['JSON', '50', Buffer.from('"pong"')],
    ['CBOR', '60', Buffer.from('\x64pong')],
  ])('gets the format that it accepts: %s', async (_, accept, reply) => {
    const { url } = await startAgent();
    expect(await bytes('-A', accept, '-m', 'get', url('ping'))).toEqual(reply);
  });

  it('sends CBOR and gets CBOR', async () => {
    const { url } = await startAgent();
    const file = writeFile(temporaryFolder(), 'body', Buffer.from('a161610a', 'hex'));
    expect(decode(await bytes('-m', 'post', '-t', '60', '-f', file, url('echo')))).toEqual({ a: 10 });
  });

  it('gets an empty result in blocks, and the largest body to a command that must not run twice arrives', async () => {
    const runs: number[] = [];
    const empty = defineHandler({ name: 'empty', description: '', safe: true, run: () => '' });
    const store = defineHandler({
      name: 'store',
      description: '',
      run: (_, { command }) => {
        const [body] = command.params.positional;
        runs.push(body instanceof Uint8Array ? body.length : 0);
      },
    });
    const { url } = await startAgent([empty, store]);
    for (const method of ['get', 'post']) {
      expect(await client('-v', '7', '-b', '64', '-m', method, url('empty'))).toMatchObject({
        code: 0,
        output: expect.stringMatching(/c:2\.0[45] .*Block[12]:0\/_\/64/),
      });
    }
    const file = writeFile(temporaryFolder(), 'body', Buffer.alloc(65_536, 'x'));
    expect(await text('-m', 'post', '-t', '42', '-f', file, url('store'))).toBe('');
    expect(runs).toEqual([65_536]);
  });

  it.each([
    ['4.00', ['-m', 'post', '-e', '"'], 'echo'],
    ['4.02', ['-m', 'get', '-O', '65001,x'], 'ping'],
    ['4.04', ['-m', 'get'], 'nothing'],
    ['4.05', ['-m', 'get'], 'log/take'],
    ['4.05', ['-m', 'put'], 'ping'],
    ['4.05', ['-m', 'delete'], 'ping'],
    ['4.06', ['-m', 'get', '-A', '41'], 'ping'],
    ['4.15', ['-m', 'post', '-t', '41', '-e', 'x'], 'echo'],
  ])('is told what was wrong: %s of %j', async (code, args, path) => {
    const { url, runs } = await startAgent();
    expect(await text(...args, url(path))).toMatch(new RegExp(`^${code.replace('.', '\\.')} .+`));
    expect(runs).toEqual([]);
  });

  it.each([
    ['get', 'log/read', []],
    ['get', 'log/read', ['-b', '64']],
    ['get', 'log/read', ['-N']],
    ['post', 'log/take', []],
    ['post', 'log/take', ['-b', '256']],
    ['post', 'log/take', ['-N']],
  ])('takes a long reply to %s /%s in blocks, and the handler runs once: %j', async (method, path, args) => {
    const { url, runs } = await startAgent();
    expect(await bytes(...args, '-m', method, url(path))).toEqual(LONG);
    expect(runs).toEqual(method === 'post' ? ['log.take'] : []);
  });

  it.each([[[]], [['-b', '512']], [['-b', '16']], [['-N']]])(
    'sends a long request in blocks, and the handler gets it whole, once: %j',
    async (args) => {
      const { url, runs } = await startAgent();
      const file = writeFile(temporaryFolder(), 'script', SCRIPT);
      expect(await text(...args, '-m', 'post', '-t', '42', '-f', file, url('script/store'))).toBe('stored');
      expect(runs).toEqual([SCRIPT]);
    },
  );

  it('sends again what was lost, and the handler runs once', async () => {
    const { url, runs } = await startAgent();
    expect(await bytes('-l', '1,4', '-m', 'post', url('log/take'))).toEqual(LONG);
    expect(runs).toEqual(['log.take']);
  });

  it('sends blocks again that were lost, and the handler gets them once', async () => {
    const { url, runs } = await startAgent();
    const file = writeFile(temporaryFolder(), 'script', SCRIPT);
    // The last of ten blocks as well.
    expect(await text('-l', '2,11', '-m', 'post', '-t', '42', '-f', file, url('script/store'))).toBe('stored');
    expect(runs).toEqual([SCRIPT]);
  });

  it('is told that a slow command is accepted, gets its reply later, and acknowledges that', async () => {
    const { handler, runs, release } = heldHandler();
    const { agent, url, endpoint } = await startAgent([handler]);
    const running = startProcess('coap-client-notls', ['-v', '7', '-m', 'post', url('hold')]);
    await running.line(/t:ACK c:0\.00/);
    release();
    await running.line(/t:CON c:2\.04 .*:: 'released'/);
    expect(await running.ended).toBe(0);
    // What it sent last is there before this.
    const peer = await openPeer();
    expect(String(await peer.ask('#1 ping', endpoint))).toBe('#1 ok pong');
    expect(agent.status().counters).toMatchObject({ received: 3, sent: 3 });
    expect(runs).toHaveLength(1);
  });

  it('pings, and is answered while its command runs', async () => {
    const { handler, release } = heldHandler();
    const { url } = await startAgent([handler]);
    const running = startProcess('coap-client-notls', ['-v', '7', '-K', '1', '-m', 'post', url('hold')]);
    await running.line(/t:RST c:0\.00/);
    release();
    await running.line(/:: 'released'/);
    expect(await running.ended).toBe(0);
  });
});

describe('the client of the package coap', () => {
  /** Sends a request; gives the response. */
  async function ask(
    { address, port }: { address: string; port: number },
    params: CoapRequestParams,
    payload?: Buffer,
    block1?: number,
  ): Promise<IncomingMessage> {
    const agent = new Agent({ type: 'udp4' });
    onTestFinished(() => void agent.close());
    return new Promise((resolve, reject) => {
      const request = agent.request({ ...params, hostname: address, port });
      if (block1 !== undefined) request.setOption('Block1', Buffer.from([block1]));
      request.once('response', resolve);
      request.once('error', reject);
      request.end(payload);
    });
  }

  it('gets and posts, confirmably and not', async () => {
    const { endpoint } = await startAgent();
    for (const confirmable of [true, false]) {
      const got = await ask(endpoint, { method: 'GET', pathname: '/ping', confirmable });
      expect([got.code, String(got.payload)]).toEqual(['2.05', 'pong']);
      const posted = await ask(endpoint, { method: 'POST', pathname: '/echo', confirmable }, Buffer.from('a'));
      expect([posted.code, String(posted.payload)]).toEqual(['2.04', 'a']);
    }
  });

  it('is told what was wrong', async () => {
    const { endpoint } = await startAgent();
    expect((await ask(endpoint, { method: 'GET', pathname: '/nothing' })).code).toBe('4.04');
    expect((await ask(endpoint, { method: 'DELETE', pathname: '/ping' })).code).toBe('4.05');
    expect((await ask(endpoint, { method: 'GET', pathname: '/ping', accept: 'application/xml' })).code).toBe('4.06');
  });

  it.each([
    ['GET', '/log/read'],
    ['POST', '/log/take'],
  ] as const)('takes a long reply to %s in blocks, and the handler runs once', async (method, pathname) => {
    const { endpoint, runs } = await startAgent();
    const { payload } = await ask(endpoint, { method, pathname });
    expect(Buffer.compare(payload, LONG)).toBe(0);
    expect(runs).toEqual(method === 'POST' ? ['log.take'] : []);
  });

  it('sends a long request in blocks, and the handler gets it whole, once', async () => {
    const { endpoint, runs } = await startAgent();
    const headers = { 'Content-Format': 'application/octet-stream' };
    const stored = await ask(endpoint, { method: 'POST', pathname: '/script/store', headers }, SCRIPT, 6);
    expect([stored.code, String(stored.payload)]).toEqual(['2.04', 'stored']);
    expect(runs).toEqual([SCRIPT]);
  });

  it('waits for a slow command, which runs once', async () => {
    const { handler, runs, release } = heldHandler();
    const { agent, endpoint } = await startAgent([handler]);
    const answer = ask(endpoint, { method: 'POST', pathname: '/hold' });
    await expect.poll(() => agent.status().counters.sent).toBe(1);
    release();
    expect(String((await answer).payload)).toBe('released');
    await expect.poll(() => agent.status().counters.received).toBe(2);
    expect(runs).toHaveLength(1);
  });
});

describe('a client that repeats itself', () => {
  it('has a slow command run once, is told that it runs, and gets its answer as often as it asks', async () => {
    const { handler, runs, release } = heldHandler();
    const { agent, endpoint } = await startAgent([handler]);
    const peer = await openPeer();
    const request = requestBytes({ messageId: 7, token: 'abc', path: 'hold' });
    await peer.send(request, endpoint);
    expect(summary(await peer.ask(request, endpoint))).toBe('ACK 0.00 #7');
    release();
    const separate = (await peer.next()).bytes;
    expect(withoutId(separate)).toBe('CON 2.04 "abc" released');
    const { messageId } = parseMessage(separate);
    await peer.send(Buffer.from([0x60, 0, messageId >> 8, messageId & 0xff]), endpoint);
    for (let times = 0; times < 3; times++) {
      expect(summary(await peer.ask(request, endpoint))).toBe('ACK 2.04 #7 "abc" released');
    }
    expect(runs).toHaveLength(1);
    expect(agent.status().counters.outcomes).toMatchObject({ done: 1 });
  });
});

describe('a client that begins requests in blocks and ends none', () => {
  it('does not keep another host’s from arriving', async () => {
    const { agent, runs, endpoint } = await startAgent();
    const [attacker, owner] = [await openPeer(), await openPeer()];
    const begin = (messageId: number) =>
      requestBytes({
        messageId,
        path: 'script/store',
        requestTag: String(messageId),
        block1: { number: 0, more: true, exponent: 0 },
        payload: 'a'.repeat(16),
      });
    const body = LONG.subarray(0, 64 * 16);
    for (let number = 0; number < 64; number++) {
      for (let times = 0; times < 5; times++) await attacker.ask(begin(number * 5 + times), endpoint);
      const block1 = { number, more: number < 63, exponent: 0 };
      const payload = body.subarray(number * 16, number * 16 + 16);
      const block = { messageId: number, path: 'script/store', contentFormat: 42, block1, payload };
      const { code } = parseMessage(await owner.ask(requestBytes(block), endpoint));
      expect(code, `block ${number}`).toBe(number < 63 ? '2.31' : '2.04');
    }
    expect(runs).toEqual([body]);
    expect(agent.status().counters.droppedTransfers).toBe(64 * 5 - 16);
  });
});

/** Packets as a capture file (libpcap, raw IPv4) that was never captured. */
function captureFile(packets: readonly { readonly bytes: Buffer; readonly fromDevice: boolean }[]): Buffer {
  const header = Buffer.from('d4c3b2a1020004000000000000000000ffff000065000000', 'hex');
  const records = packets.map(({ bytes, fromDevice }, index) => {
    const record = Buffer.alloc(16 + 28);
    record.writeUInt32LE(index, 0);
    record.writeUInt32LE(28 + bytes.length, 8);
    record.writeUInt32LE(28 + bytes.length, 12);
    const [device, peer] = ['c0000201', 'c0000202'];
    record.write(`450000000000000040110000${fromDevice ? device + peer : peer + device}`, 16, 'hex');
    record.writeUInt16BE(28 + bytes.length, 18);
    record.writeUInt16BE(fromDevice ? 6969 : 40_000, 36);
    record.writeUInt16BE(fromDevice ? 40_000 : 6969, 38);
    record.writeUInt16BE(8 + bytes.length, 40);
    return Buffer.concat([record, bytes]);
  });
  return Buffer.concat([header, ...records]);
}

describe.skipIf(needs('tshark'))('tshark', () => {
  /** What it makes of each packet: protocols, type, code, message ID, and what it has against it. */
  async function dissect(packets: Parameters<typeof captureFile>[0]) {
    const file = writeFile(temporaryFolder(), 'packets.pcap', captureFile(packets));
    const fields = ['frame.protocols', 'coap.type', 'coap.code', 'coap.mid', '_ws.malformed', '_ws.expert.message'];
    const { output } = await runProcess('tshark', [
      ...['-n', '-r', file, '-d', 'udp.port==6969,coap', '-o', 'udp.check_checksum:FALSE'],
      ...['-T', 'fields', '-E', 'separator=|', ...fields.flatMap((field) => ['-e', field])],
    ]);
    return output.split('\n').flatMap((line) => {
      const [protocols = '', type, code, id, malformed, expert] = line.split('|');
      return protocols.startsWith('raw:ip') ? [{ protocols, type, code, id, trouble: `${malformed}${expert}` }] : [];
    });
  }

  it('finds nothing malformed in what the agent answers', async () => {
    const { handler, release } = heldHandler();
    const { endpoint } = await startAgent([handler]);
    const peer = await openPeer();
    const options = [{ number: 65_001, value: Buffer.from('x') }];
    const requests = [
      { method: '0.01', path: 'ping' },
      { type: 'NON', method: '0.01', path: 'ping', token: '12345678' },
      { method: '0.01', path: '.well-known/core' },
      { method: '0.01', path: 'ping', accept: 50 },
      { method: '0.01', path: 'ping', accept: 60 },
      { path: 'log/take' },
      { path: 'log/take', block2: { number: 19, more: false, exponent: 6 } },
      { path: 'log/read', block2: { number: 0, more: false, exponent: 0 } },
      { path: 'script/store', payload: 'x'.repeat(16), block1: { number: 0, more: true, exponent: 0 } },
      { path: 'script/store', payload: 'x', block1: { number: 1, more: false, exponent: 0 } },
      { path: 'script/store', payload: 'x', size1: 100_000, block1: { number: 0, more: false, exponent: 6 } },
      { path: 'nothing' },
      { method: '0.03', path: 'ping' },
      { path: 'ping', options },
      { type: 'NON', path: 'ping', options },
      { method: '0.00' },
      { path: 'hold' },
    ] as const;
    const first = randomInt(60_000);
    const packets: { bytes: Buffer; fromDevice: boolean }[] = [];
    for (const [index, request] of requests.entries()) {
      const bytes = requestBytes({ ...request, messageId: first + index });
      packets.push({ bytes, fromDevice: false }, { bytes: await peer.ask(bytes, endpoint), fromDevice: true });
    }
    release();
    packets.push({ bytes: (await peer.next()).bytes, fromDevice: true });

    const dissected = await dissect(packets);
    const answers = dissected.filter((_, index) => packets[index]?.fromDevice);
    expect(answers).toHaveLength(requests.length + 1);
    expect(answers.filter(({ trouble }) => trouble !== '')).toEqual([]);
    expect(answers.filter(({ protocols }) => !protocols.startsWith('raw:ip:udp:coap'))).toEqual([]);
    expect(dissected.map(({ type, code, id }) => [Number(type), Number(code), Number(id)])).toEqual(
      packets.map(({ bytes }) => [((bytes[0] ?? 0) >> 4) & 3, bytes[1], bytes.readUInt16BE(2)]),
    );
  });

  it('would find it', async () => {
    const [packet] = await dissect([{ bytes: Buffer.from('6045000113ff', 'hex'), fromDevice: true }]);
    expect(packet?.trouble).not.toBe('');
  });
});
