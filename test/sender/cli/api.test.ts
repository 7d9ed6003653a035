import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { fetchOne } from '../../../sender/cli/api/fetch.js';
import { list } from '../../../sender/cli/api/list.js';
import { send } from '../../../sender/cli/api/send.js';
import { details, jsonLine, tableHead, tableRow } from '../../../sender/cli/api/table.js';
import { watch } from '../../../sender/cli/api/watch.js';
import { processIo } from '../../../sender/cli/io.js';
import { type Answer, type Api, ipCommand, json, rejection, Sink, startApi } from '../support.js';

interface Setting {
  readonly stdin?: Readable & { isTTY?: boolean };
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** A command line whose variables name the server. */
function makeIo(api: Api, { stdin = Readable.from([]), ...terminal }: Setting = {}) {
  const env = { SUPERSIM_ACCOUNT_SID: 'AC1', SUPERSIM_AUTH_TOKEN: 'secret', SUPERSIM_API_URL: api.url };
  return { env, stdin, stdout: new Sink(terminal), stderr: new Sink(terminal), sleep: async () => {} };
}

const typing = () => Object.assign(new PassThrough(), { isTTY: true });

async function makeFile(content: string | Uint8Array): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'supersim-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'payload'), content);
  return join(folder, 'payload');
}

const created: Answer = (response) => json(response, 201, ipCommand());
const form = (api: Api) => Object.fromEntries(new URLSearchParams(api.seen[0]?.body));

describe('supersim send', () => {
  it('sends text to port 6969 and shows the command', async () => {
    const api = await startApi(created);
    const io = makeIo(api, { stdin: typing() });
    await send({ sim: 'gateway-1', payload: '#1 ping' }, io);
    expect(form(api)).toEqual({ Sim: 'gateway-1', Payload: '#1 ping', DevicePort: '6969', PayloadType: 'text' });
    expect(io.stdout.text).toBe(`${details(ipCommand())}\n`);
    expect(io.stderr.text).toBe('');
  });

  it('prints one line of JSON for programs', async () => {
    const api = await startApi(created);
    const io = makeIo(api);
    await send({ sim: 'gateway-1', payload: 'ping', json: true, port: 7000, callbackUrl: 'https://example.com/' }, io);
    expect(form(api)).toMatchObject({ DevicePort: '7000', CallbackUrl: 'https://example.com/' });
    expect(io.stdout.text).toBe(`${jsonLine(ipCommand())}\n`);
  });

  const RAW = Uint8Array.of(0xa1, 0x00, 0xff, 0x0a);
  const BASE64 = 'oQD/Cg==';
  it.each([
    ['an argument', async () => ({ payload: 'ping' }), '', { Payload: 'ping', PayloadType: 'text' }],
    ['Base64', async () => ({ payload: BASE64, binary: true }), '', { Payload: BASE64, PayloadType: 'binary' }],
    ['a file', async () => ({ file: await makeFile('grüß\n') }), 'x', { Payload: 'grüß\n', PayloadType: 'text' }],
    [
      'a file of bytes',
      async () => ({ file: await makeFile(RAW), binary: true }),
      'x',
      { Payload: BASE64, PayloadType: 'binary' },
    ],
    ['a pipe', async () => ({}), 'ping\n', { Payload: 'ping\n', PayloadType: 'text' }],
    ['a pipe that is asked for', async () => ({ payload: '-' }), 'ping', { Payload: 'ping', PayloadType: 'text' }],
    ['a pipe of bytes', async () => ({ binary: true }), RAW, { Payload: BASE64, PayloadType: 'binary' }],
  ])('takes the payload from %s', async (_, makeArgs, input, sent) => {
    const api = await startApi(created);
    await send(
      { sim: 'gateway-1', ...(await makeArgs()) },
      makeIo(api, { stdin: Readable.from([Buffer.from(input)]) }),
    );
    expect(form(api)).toMatchObject(sent);
  });

  it('reads a terminal’s input when asked to', async () => {
    const api = await startApi(created);
    const stdin = typing();
    stdin.end('ping');
    await send({ sim: 'gateway-1', payload: '-' }, makeIo(api, { stdin }));
    expect(form(api)).toMatchObject({ Payload: 'ping' });
  });

  it.each([
    ['no payload at a terminal', async () => ({}), 'bad-input', typing],
    ['an empty pipe', async () => ({}), 'bad-input', undefined],
    ['an empty argument', async () => ({ payload: '' }), 'bad-input', undefined],
    ['a payload and a file', async () => ({ payload: 'x', file: await makeFile('y') }), 'bad-input', undefined],
    ['a file that does not exist', async () => ({ file: '/nonexistent/payload' }), 'bad-input', undefined],
    ['text that is no UTF-8', async () => ({ file: await makeFile(RAW) }), 'bad-input', undefined],
    ['Base64 of another kind', async () => ({ payload: 'oQD_Cg==', binary: true }), 'bad-input', undefined],
    ['Base64 that breaks off', async () => ({ payload: 'oQD/Cg=', binary: true }), 'bad-input', undefined],
    ['a file too long', async () => ({ file: await makeFile('x'.repeat(1301)) }), 'too-large', undefined],
    ['a file that never ends', async () => ({ file: '/dev/zero', binary: true }), 'too-large', undefined],
    ['976 bytes', async () => ({ file: await makeFile(new Uint8Array(976)), binary: true }), 'too-large', undefined],
    ['a port that is none', async () => ({ payload: 'x', port: Number.NaN }), 'bad-input', undefined],
    ['a size limit too high', async () => ({ payload: 'x', sizeLimit: 1301 }), 'bad-input', undefined],
    ['two SIMs', async () => ({ payload: 'x', sim: ['a', 'b'] }), 'bad-input', undefined],
  ])('refuses %s, and sends nothing', async (_, makeArgs, code, stdin) => {
    const api = await startApi(created);
    const io = makeIo(api, stdin === undefined ? {} : { stdin: stdin() });
    expect(await rejection(send({ sim: 'gateway-1', ...(await makeArgs()) }, io))).toMatchObject({ code });
    expect(api.seen).toHaveLength(0);
  });

  it('sends as many bytes as the size limit allows', async () => {
    const api = await startApi(created);
    const file = await makeFile(new Uint8Array(1300));
    await send({ sim: 'gateway-1', file, binary: true, sizeLimit: 1300 }, makeIo(api));
    expect(api.seen).toHaveLength(1);
  });

  it.each([
    ['ping', true, true],
    ['  ping', true, true],
    ['#1 ping', true, false],
    [' #1 ping', true, false],
    ['{"method":"ping"}', true, false],
    ['ping', false, false],
  ])('notes for %j, on a terminal: %s, that it can run twice: %s', async (payload, isTTY, said) => {
    const api = await startApi(created);
    const io = makeIo(api, { isTTY });
    await send({ sim: 'gateway-1', payload }, io);
    expect(io.stderr.text.includes('run twice')).toBe(said);
    expect(io.stdout.text).not.toContain('run twice');
  });

  it('prints no such note when nothing was sent', async () => {
    const api = await startApi((response) => json(response, 503, {}));
    const io = makeIo(api, { isTTY: true });
    expect(await rejection(send({ sim: 'gateway-1', payload: 'ping' }, io))).toMatchObject({
      code: 'api-unknown-fate',
    });
    expect(io.stderr.text + io.stdout.text).toBe('');
  });
});

describe('supersim list', () => {
  const two: Answer = (response) =>
    json(response, 200, { ip_commands: [ipCommand(2), ipCommand(1)], meta: { next_page_url: null } });

  it('prints a table', async () => {
    const api = await startApi(two);
    const io = makeIo(api);
    await list({ sim: 'gateway-1', status: 'sent', direction: 'to_sim', limit: 2 }, io);
    expect(io.stdout.text).toBe(`${tableHead()}\n${tableRow(ipCommand(2))}\n${tableRow(ipCommand(1))}\n`);
    expect(api.seen[0]?.url).toBe('/v1/IpCommands?Sim=gateway-1&Status=sent&Direction=to_sim&PageSize=2');
  });

  it('prints the header of an empty table, and nothing before an error', async () => {
    const empty = await startApi((response) => json(response, 200, { ip_commands: [], meta: {} }));
    const io = makeIo(empty);
    await list({}, io);
    expect(io.stdout.text).toBe(`${tableHead()}\n`);
    const refusing = makeIo(await startApi((response) => json(response, 401, {})));
    expect(await rejection(list({}, refusing))).toMatchObject({ code: 'api-error' });
    expect(refusing.stdout.text).toBe('');
  });

  it('cuts the table to the terminal’s width', async () => {
    const payload = 'x'.repeat(100);
    const api = await startApi((response) =>
      json(response, 200, { ip_commands: [ipCommand(1, { payload })], meta: {} }),
    );
    const io = makeIo(api, { isTTY: true, columns: 160 });
    await list({}, io);
    expect(io.stdout.text.split('\n').map((line) => line.length)).toEqual([tableHead().length, 160, 0]);
  });

  it('prints one JSON object a line for programs', async () => {
    const api = await startApi(two);
    const io = makeIo(api);
    await list({ json: true }, io);
    expect(
      io.stdout.text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([ipCommand(2), ipCommand(1)]);
    expect(api.seen[0]?.url).toBe('/v1/IpCommands?PageSize=50');
  });

  it.each([{ status: 'lost' }, { direction: 'up' }, { limit: 0 }, { limit: Number.NaN }])(
    'refuses %j',
    async (wrong) => {
      const api = await startApi(two);
      expect(await rejection(list(wrong, makeIo(api)))).toMatchObject({ code: 'bad-input' });
      expect(api.seen).toHaveLength(0);
    },
  );
});

describe('supersim fetch', () => {
  it.each([
    [false, `${details(ipCommand())}\n`],
    [true, `${jsonLine(ipCommand())}\n`],
  ])('shows one IP Command, as JSON: %s', async (asJson, shown) => {
    const api = await startApi((response) => json(response, 200, ipCommand()));
    const io = makeIo(api);
    await fetchOne({ sid: ipCommand().sid, json: asJson }, io);
    expect(io.stdout.text).toBe(shown);
  });
});

describe('supersim watch', () => {
  const fromSim = (number: number) =>
    ipCommand(number, { direction: 'from_sim', status: 'received', payload_type: 'binary', payload: 'b2sgcG9uZw==' });

  it.each([
    [false, `${tableHead()}\n${tableRow(fromSim(2))}\n`],
    [true, `${JSON.stringify({ ...fromSim(2), authentic: false })}\n`],
  ])('prints what devices send until it is stopped, as JSON: %s', async (asJson, shown) => {
    const api = await startApi((response, _seen, count) => {
      const ip_commands = count === 1 ? [fromSim(1)] : [fromSim(2), fromSim(1)];
      json(response, 200, { ip_commands, meta: { next_page_url: null } });
    });
    const abort = new AbortController();
    const waits: number[] = [];
    const sleep = async (ms: number) => {
      if (waits.push(ms) === 2) abort.abort();
      abort.signal.throwIfAborted();
    };
    const io = { ...makeIo(api), sleep };
    await watch({ sim: 'gateway-1', interval: '2s', json: asJson }, io, abort.signal);
    expect(io.stdout.text).toBe(shown);
    expect(io.stderr.text).toBe('watching; Ctrl-C stops\n');
    expect(waits).toEqual([2000, 2000]);
    expect(api.seen[0]?.url).toBe('/v1/IpCommands?Sim=gateway-1&Direction=from_sim&PageSize=100');
  });

  it.each(['500ms', '2h', '5', 'soon'])('refuses the interval %s', async (interval) => {
    const api = await startApi(created);
    const { signal } = new AbortController();
    expect(await rejection(watch({ interval }, makeIo(api), signal))).toMatchObject({ code: 'bad-input' });
  });
});

describe('processIo', () => {
  it('listens once for a reader that closes the pipe', () => {
    const before = process.stdout.listeners('error');
    const io = processIo();
    processIo();
    const added = process.stdout.listeners('error').filter((listener) => !before.includes(listener));
    expect(added).toHaveLength(1);
    expect(io.stdout).toBe(process.stdout);
  });
});

describe('credentials', () => {
  it('are never taken from the arguments', async () => {
    const api = await startApi(created);
    const io = { ...makeIo(api), env: { HOME: '/nonexistent' } };
    const args = { sim: 'gateway-1', payload: 'x', accountSid: 'AC1', authToken: 'secret' };
    expect(await rejection(send(args, io))).toMatchObject({ code: 'no-credentials' });
  });
});
