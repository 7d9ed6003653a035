import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { request } from '../../../sender/cli/request.js';
import { CONTENT_FORMAT } from '../../../shared/coap/content-format.js';
import { type CoapMessage, formatMessage, parseMessage } from '../../../shared/coap/message.js';
import { OPTION, uintOption } from '../../../shared/coap/options.js';
import { readParams, readRequest } from '../../../shared/coap/request.js';
import { fromCbor, toCbor } from '../../../shared/format/value.js';
import type { IpCommand } from '../../../shared/ip-command.js';
import { type Answer, ipCommand, json, Sink, startApi, vendorError } from '../support.js';

type Device = (bytes: Buffer) => Uint8Array | undefined;

/** An API with a device behind it that answers at once. */
function apiOf(device: Device): Answer {
  const list: IpCommand[] = [];
  return (response, { method, body }, count) => {
    if (method === 'GET') return json(response, 200, { ip_commands: list.toReversed(), meta: { next_page_url: null } });
    const reply = device(Buffer.from(new URLSearchParams(body).get('Payload') ?? '', 'base64'));
    const members = { direction: 'from_sim', status: 'received', payload_type: 'binary' } as const;
    if (reply) list.push(ipCommand(1000 + count, { ...members, payload: Buffer.from(reply).toString('base64') }));
    return json(response, 201, ipCommand(count));
  };
}

const respond =
  (code: string, contentFormat: number | undefined, payload: string | Uint8Array): Device =>
  (bytes) => {
    const { messageId, token } = parseMessage(bytes);
    const options = contentFormat === undefined ? [] : [uintOption(OPTION.contentFormat, contentFormat)];
    const message: CoapMessage = { type: 'ACK', code, messageId, token, options, payload: Buffer.from(payload) };
    return formatMessage(message);
  };
const pong = respond('2.04', CONTENT_FORMAT.text, 'pong');

async function run(args: object, answer: Answer, { isTTY = false, signal = new AbortController().signal } = {}) {
  const api = await startApi(answer);
  const env = { SUPERSIM_ACCOUNT_SID: 'AC1', SUPERSIM_AUTH_TOKEN: 'secret', SUPERSIM_API_URL: api.url };
  const [stdout, stderr] = [new Sink({ isTTY }), new Sink({ isTTY })];
  const io = { env, stdin: Readable.from([]), stdout, stderr, sleep: (ms: number) => sleep(ms) };
  const options = { interval: 2, timeScale: 0.001 };
  const ended = request({ sim: 'gateway-1', name: 'ping', ...args }, io, signal, options);
  const outcome = await ended.catch((error: unknown) => error);
  const posted = api.seen.filter(({ method }) => method === 'POST').map(({ body }) => new URLSearchParams(body));
  const payload = Buffer.from(posted[0]?.get('Payload') ?? '', 'base64');
  return { code: outcome, stdout: stdout.text, stderr: stderr.text, posted, payload };
}

function coapParams(payload: Buffer) {
  const read = readRequest(parseMessage(payload));
  return 'diagnostic' in read ? read : readParams(read.query, read.payload, read.contentFormat);
}

describe('supersim request', () => {
  it('prints the result, and the progress on a terminal', async () => {
    expect(await run({}, apiOf(pong))).toMatchObject({ code: 0, stdout: 'pong\n', stderr: '' });
    const { stdout, stderr } = await run({}, apiOf(pong), { isTTY: true });
    expect(stdout).toBe('pong\n');
    expect(stderr).toMatch(/^sent\ndone in \d+\.\d s\n$/);
  });

  it.each<[string, Device, boolean, string]>([
    ['text on a terminal, made safe', respond('2.04', 0, 'a\u001b[2J\nb'), true, 'a\\u001b[2J\nb\n'],
    ['text to a program, as it is', respond('2.04', 0, 'a\u001b[2J'), false, 'a\u001b[2J\n'],
    ['bytes on a terminal', respond('2.04', 42, Buffer.of(1, 255)), true, '0x01ff\n'],
    ['bytes to a program, as they are', respond('2.04', 42, 'a\nb'), false, 'a\nb'],
    ['anything else as JSON', respond('2.04', 50, '{ "a": [1] }'), false, '{"a":[1]}\n'],
    ['nothing for nothing', respond('2.04', undefined, ''), false, ''],
  ])('prints %s', async (_, device, isTTY, printed) => {
    expect(await run({}, apiOf(device), { isTTY })).toMatchObject({ code: 0, stdout: printed });
  });

  it('notes that the device no longer remembers the result', async () => {
    const forgotten: Device = (bytes) => {
      const { messageId, token } = parseMessage(bytes);
      const options = [{ number: OPTION.forgotten, value: Buffer.alloc(0) }];
      return formatMessage({ type: 'ACK', code: '2.04', messageId, token, options, payload: Buffer.alloc(0) });
    };
    const { code, stdout, stderr } = await run({}, apiOf(forgotten));
    expect([code, stdout]).toEqual([0, '']);
    expect(stderr).toBe('note: the command was done before; the device no longer remembers its result\n');
  });

  it('prints the whole outcome for programs', async () => {
    const { code, stdout } = await run({ json: true }, apiOf(pong));
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      outcome: 'done',
      result: 'pong',
      attempts: 1,
      timings: { ended: expect.any(Number) },
    });
  });

  it.each<[string, number, Answer, object]>([
    ['failed', 10, apiOf(respond('5.00', undefined, 'handler-failed: stuck')), {}],
    ['refused', 11, apiOf(respond('4.04', undefined, 'unknown-command: none')), {}],
    ['not-sent', 12, apiOf(() => undefined), { stopped: true }],
    ['interrupted', 13, apiOf(respond('5.00', undefined, 'interrupted: power')), {}],
    ['no-answer', 14, apiOf(() => undefined), { timeout: '1s' }],
  ])('ends as %s with exit code %i', async (outcome, code, answer, { stopped, ...args }: { stopped?: boolean }) => {
    const signal = stopped === true ? AbortSignal.abort() : new AbortController().signal;
    const ended = await run(args, answer, { signal });
    expect(ended).toMatchObject({ code, stdout: '' });
    expect(ended.stderr).toMatch(new RegExp(`^${outcome} \\([a-z-]+\\) after \\d+\\.\\d s: .+\n.+\n$`));
  });

  it('prints the error of an API that refuses it', async () => {
    const answer: Answer = (response, { method }) =>
      method === 'POST'
        ? json(response, 400, vendorError(400, 20_001))
        : json(response, 200, { ip_commands: [], meta: { next_page_url: null } });
    expect(await run({}, answer)).toMatchObject({ code: 12, stderr: expect.stringContaining('20001') });
  });

  it.each<[string, object, object]>([
    ['words', { words: ['1', 'on=true', 'label=a b'] }, { positional: ['1'], named: { on: 'true', label: 'a b' } }],
    ['words behind --', { words: ['1'], '--': ['-2'] }, { positional: ['1', '-2'], named: {} }],
    ['JSON', { params: '{"a":[1]}' }, { positional: [], named: { a: [1] } }],
    ['a query', { get: true, words: ['a=1'] }, { positional: [], named: { a: '1' } }],
  ])('takes the parameters from %s', async (_, args, params) => {
    const { payload, code } = await run(args, apiOf(pong));
    expect(code).toBe(0);
    expect(coapParams(payload)).toMatchObject({ params });
  });

  it('reads numbers, booleans and null in JSON and CBOR', async () => {
    const device: Device = (bytes) => toCbor({ id: Object(fromCbor(bytes)).id, result: 'ok' });
    const args = { format: 'cbor', words: ['a=1', 'b=-2.5', 'c=true', 'd=null', 'e=007', 'f=x'] };
    const { payload, code } = await run(args, apiOf(device));
    expect(code).toBe(0);
    expect(fromCbor(payload)).toMatchObject({ params: { a: 1, b: -2.5, c: true, d: null, e: '007', f: 'x' } });
  });

  it('sends to the port, with the deadline as Unix time', async () => {
    const before = Math.floor(Date.now() / 1000);
    const { posted, payload } = await run({ port: 7000, deadline: '5min' }, apiOf(pong));
    expect(posted[0]?.get('DevicePort')).toBe('7000');
    const deadline = Number(Object(coapParams(payload)).deadline);
    expect(deadline).toBeGreaterThanOrEqual(before + 300);
    expect(deadline).toBeLessThanOrEqual(before + 320);
  });

  it.each<[string, object]>([
    ['two kinds of parameters', { params: '{}', words: ['a'] }],
    ['parameters that are no JSON', { params: '{' }],
    ['parameters that are a number', { params: '1' }],
    ['a parameter twice', { words: ['a=1', 'a=2'] }],
    ['both kinds in JSON', { format: 'json', words: ['1', 'a=2'] }],
    ['a deadline in text', { format: 'text', deadline: '5min' }],
    ['an interval too short', { interval: '10ms' }],
    ['a name that is none', { name: 'a b' }],
  ])('sends nothing for %s', async (_, args) => {
    const { code, posted } = await run(args, apiOf(pong));
    expect(code).toMatchObject({ code: 'bad-input' });
    expect(posted).toEqual([]);
  });
});
