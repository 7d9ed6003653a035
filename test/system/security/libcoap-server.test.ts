import { beforeAll, describe, expect, it } from 'vitest';
import { IpCommandClient } from '../../../sender/api/client.js';
import { type CommandUpdate, pollingReplies, type ReplySource } from '../../../sender/replies/polling.js';
import type { RequestProtection } from '../../../sender/request/protection.js';
import { createRequester } from '../../../sender/request/request.js';
import type { RequestProgress } from '../../../sender/request/run-request.js';
import { openSecurity } from '../../../sender/security/security.js';
import { type CoapMessage, emptyMessage, formatMessage, parseMessage } from '../../../shared/coap/message.js';
import { payloadBytes } from '../../../shared/ip-command.js';
import { DEVICE_PORT } from '../../../shared/limits.js';
import { readFields } from '../../../shared/oscore/protected-message.js';
import { libcoapRoot, ROOT_TIMEOUT_MS } from '../../support/debian-root.js';
import { temporaryFolder } from '../../support/files.js';
import { startCoapServer, writeOscoreConf } from '../../support/libcoap.js';
import { needs } from '../../support/needs.js';
import { makeOperatorKeys } from '../../support/operator-keys.js';
import type { Captured } from '../../support/pcap.js';
import { startTestLoopback } from '../../support/round-trip.js';
import { readWithKey } from '../../support/tshark.js';

const SIM = 'gateway-1';
/** All byte values, and no two blocks alike. */
const LONG = Buffer.from(Array.from({ length: 5000 }, (_, index) => (index ^ (index >> 8)) & 0xff));
const DYNAMIC_RESOURCES = '10';

interface ServerSetup {
  /** What the server's key is, where it is not the sender's. */
  readonly secret?: Buffer;
  readonly kid?: number;
  /** Of the protocol's times. */
  readonly timeScale?: number;
}

/** libcoap's example server as the device of a SIM with a key, the sender, and all that goes between them. */
async function startServer({ timeScale = 0.01, ...wrong }: ServerSetup = {}) {
  const loopback = await startTestLoopback({ sourcePort: 'gateway' });
  const [sim] = loopback.sims;
  if (sim === undefined) throw new Error('the loopback has no SIM');
  const keys = makeOperatorKeys([sim], { sendsKidContext: true });
  const { masterSecret: secret, ...key } = keys.keyOf(sim);
  const conf = writeOscoreConf(temporaryFolder(), { secret, ...key, ...wrong, side: 'device' });
  const device = { address: sim.address, port: DEVICE_PORT };
  const server = await startCoapServer(device, '-E', conf, '-d', DYNAMIC_RESOURCES);
  const captured: Captured[] = [];
  loopback.onEvent((event) => {
    if (event.type !== 'command' || event.command.status === 'queued') return;
    const ends = event.command.direction === 'to_sim' ? [loopback.gateway, device] : [device, loopback.gateway];
    const [from = device, to = device] = ends;
    captured.push({ from, to, bytes: payloadBytes(event.command) });
  });
  const { accountSid, authToken, url: baseUrl } = loopback;
  const client = new IpCommandClient({ accountSid, authToken, baseUrl });
  const polling = pollingReplies(client, { interval: 20 });
  let keepsBack = 0;
  /** Whether an answer is kept back from the sender: the server is told that it has arrived. */
  function isKeptBack(command: CommandUpdate): boolean {
    if (command.direction === 'to_sim' || keepsBack === 0) return false;
    const { type, messageId } = parseMessage(payloadBytes(command));
    if (type !== 'CON') return false;
    keepsBack--;
    void client.create({ sim: SIM, payload: formatMessage(emptyMessage('ACK', messageId)), devicePort: DEVICE_PORT });
    return true;
  }
  const replies: ReplySource = {
    listen: (name, listener) =>
      polling.listen(name, {
        ...listener,
        onCommand: (command, code) => void (isKeptBack(command) || listener.onCommand(command, code)),
      }),
  };
  const request = createRequester({ client, security: openSecurity({ env: keys.env }), replies, timeScale });
  const sentBy = (from: string) =>
    captured.filter((one) => one.from.address === from).map(({ bytes }) => ({ bytes, ...parseMessage(bytes) }));
  return {
    ...{ server, request, captured, key: keys.keyOf(sim) },
    /** Keeps the next confirmable answer back. */
    keepBack: () => void keepsBack++,
    /** Protected requests, and what the server answered. */
    requests: () => sentBy(loopback.gateway.address).filter(({ code }) => code !== '0.00'),
    answers: () => sentBy(sim.address).filter(({ code }) => code !== '0.00'),
  };
}

const partialIvOf = (message: CoapMessage) => {
  const fields = readFields(message);
  return typeof fields === 'string' ? fields : fields.partialIv;
};

describe.skipIf(needs('mmdebstrap', 'tshark'))('libcoap’s server with OSCORE', () => {
  beforeAll(libcoapRoot, ROOT_TIMEOUT_MS);

  it('challenges the first request, and answers the next ones without a sequence number of its own', async () => {
    const { request, requests, answers, server } = await startServer();
    const progress: RequestProgress[] = [];
    const onProgress = (each: RequestProgress) => void progress.push(each);
    const time = { outcome: 'done', result: expect.stringMatching(/^\w{3} \d\d \d\d:\d\d:\d\d$/), authentic: true };
    expect(await request(SIM, 'time', undefined, { get: true, onProgress })).toMatchObject(time);
    expect(progress.map(({ type }) => type)).toEqual(['sent', 'challenged', 'sent']);
    expect(await request(SIM, 'time', undefined, { get: true })).toMatchObject({ ...time, attempts: 1 });
    expect(answers().map(partialIvOf)).toEqual([Buffer.of(0), undefined, undefined]);
    // It has the kid context, which this server requires.
    expect(requests().map((message) => readFields(message))).toEqual(
      Array(3).fill(expect.objectContaining({ kid: Buffer.of(1), kidContext: expect.any(Buffer) })),
    );
    expect(server.output()).not.toMatch(/WARN|ERR/);
  });

  it('is given resources, short and in blocks, and gives them back', async () => {
    const { request } = await startServer();
    expect(await request(SIM, 'note', 'short')).toMatchObject({ outcome: 'done', authentic: true });
    expect(await request(SIM, 'note', undefined, { get: true })).toMatchObject({ result: 'short', authentic: true });
    expect(await request(SIM, 'store.long', LONG)).toMatchObject({ outcome: 'done', authentic: true });
    expect(await request(SIM, 'store.long', undefined, { get: true })).toMatchObject({ result: LONG, authentic: true });
    const text = await request(SIM, 'example_data', undefined, { get: true });
    expect(text).toMatchObject({
      outcome: 'done',
      authentic: true,
      result: expect.stringMatching(/^a123456789b.{1489}$/),
    });
  });

  it('answers later, in a message of its own', async () => {
    const { request } = await startServer({ timeScale: 0.1 });
    expect(await request(SIM, 'async', '1', { get: true })).toMatchObject({
      outcome: 'done',
      result: 'done',
      attempts: 1,
    });
  });

  it('says under its key what it cannot do', async () => {
    const { request } = await startServer();
    expect(await request(SIM, 'nothing', undefined, { get: true })).toMatchObject({
      ...{ outcome: 'refused', error: { code: 'unknown-command', coapCode: '4.04' }, authentic: true },
    });
    expect(await request(SIM, 'time')).toMatchObject({
      ...{ outcome: 'refused', error: { code: 'invalid-request', coapCode: '4.05' }, authentic: true },
    });
  });

  it.each([
    ['with another secret', { secret: Buffer.alloc(16, 9) }, /says 4\.00 "Decryption failed/],
    ['with another kid', { kid: 7 }, /says 4\.01 "Security context not found/],
  ])('%s is not believed, and what it says is a hint', async (_, wrong, hint) => {
    const { request, server } = await startServer(wrong);
    expect(await request(SIM, 'time', undefined, { timeout: '1s' })).toMatchObject({
      ...{ outcome: 'no-answer', error: { message: expect.stringMatching(hint) }, authentic: false },
    });
    expect(server.output()).not.toContain('Uri-Path:time');
  });

  it('refuses a request that is made again, as it remembers no answers', async () => {
    const { request, requests, server } = await startServer();
    const identity = { tag: Buffer.from('abcdef'), messageId: 7 };
    let protection: RequestProtection | undefined;
    const onProtection = (next: RequestProtection) => {
      protection = next;
    };
    expect(await request(SIM, 'note', 'once', { identity, onProtection })).toMatchObject({ outcome: 'done' });
    const before = requests();
    const again = { identity: { ...identity, protection }, again: true, timeout: '1s' } as const;
    expect(await request(SIM, 'note', 'once', again)).toMatchObject({
      ...{
        outcome: 'no-answer',
        error: { message: expect.stringMatching(/says 4\.01 "Replay detected/) },
        authentic: false,
      },
    });
    const later = requests().slice(before.length);
    expect(later.length).toBeGreaterThan(1);
    expect(later.filter(({ bytes }) => !bytes.equals(before.at(-1)?.bytes ?? bytes.subarray(1)))).toEqual([]);
    expect(server.output().match(/c:POST .*Uri-Path:note/g)).toHaveLength(1);
  });

  it('answers a GET that is protected anew after three copies whose answer was kept back', async () => {
    const { request, requests, keepBack } = await startServer();
    await request(SIM, 'time', undefined, { get: true });
    const before = requests().length;
    keepBack();
    expect(await request(SIM, 'time', undefined, { get: true })).toMatchObject({ outcome: 'done', attempts: 4 });
    const [first, second, third, anew] = requests().slice(before);
    expect([second, third].map((copy) => copy?.bytes)).toEqual([first?.bytes, first?.bytes]);
    expect(anew?.token).toEqual(first?.token);
    expect(anew?.messageId).not.toBe(first?.messageId);
    expect(anew && partialIvOf(anew)).not.toEqual(first && partialIvOf(first));
  });

  it('exchanges messages with the sender that Wireshark finds well-formed and can open with the key', async () => {
    const { request, captured, key } = await startServer();
    await request(SIM, 'time', undefined, { get: true });
    await request(SIM, 'store.long', LONG);
    await request(SIM, 'store.long', undefined, { get: true });
    const { malformed, notices, unprotected, text } = await readWithKey(captured, key);
    expect({ malformed, notices, unprotected }).toEqual({ malformed: [], notices: [], unprotected: [] });
    for (const path of ['/time', '/store/long']) expect(text).toContain(path);
  });
});
