import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { MAX_ERRORS_PER_SECOND } from '../../agent/command/coap/protected-requests.js';
import { createCounters } from '../../agent/command/stats/counters.js';
import { mayCall, parseKeyFile } from '../../agent/security/key-file.js';
import { formatMessage, parseMessage } from '../../shared/coap/message.js';
import { OPTION, stringOption } from '../../shared/coap/options.js';
import { deviceContext, deviceMasterSecret, operatorContext } from '../../shared/oscore/identities.js';
import { protectRequest } from '../../shared/oscore/request.js';
import { protectResponse, unprotectResponse } from '../../shared/oscore/response.js';
import { temporaryFolder } from '../support/files.js';
import { startPipeline } from '../support/pipeline.js';

const PROTOCOL = readFileSync('docs/protocol.md', 'utf8');
const SECURITY = readFileSync('docs/security.md', 'utf8');

const inTable = (name: string): string => new RegExp(`\\| ${name} \\| \`([^\`]+)\` \\|`).exec(PROTOCOL)?.[1] ?? '';
const example = (name: string): Buffer =>
  Buffer.from(new RegExp(`<!-- oscore ${name} -->\\n {4}([0-9a-f]+)\\n`).exec(PROTOCOL)?.[1] ?? '', 'hex');
const numberOf = (words: string): number => Number(new RegExp(`${words} (\\d+)`).exec(PROTOCOL)?.[1]);
const hexOf = (key: { export(): Buffer }): string => key.export().toString('hex');

const deviceId = inTable('device id');
const masterSecret = deviceMasterSecret(Buffer.from(inTable('fleet key'), 'hex'), deviceId);
const kid = Number.parseInt(inTable('kid'), 16);
const OPERATOR = operatorContext({ masterSecret, deviceId, kid });
const DEVICE = deviceContext({ masterSecret, deviceId, kid });
const PING = { code: '0.01', options: [stringOption(OPTION.uriPath, 'ping')], payload: Buffer.alloc(0) };
const HEAD = { messageId: 0x1234, token: Buffer.from('4a', 'hex') };

describe('the protection in docs/protocol.md', () => {
  it('derives its keys as the code does', () => {
    expect(masterSecret.toString('hex')).toBe(inTable('master secret'));
    expect(hexOf(OPERATOR.senderKey)).toBe(inTable('Sender Key of the operator'));
    expect(hexOf(OPERATOR.recipientKey)).toBe(inTable('Recipient Key of the operator'));
  });

  it('has the bytes of a request and of its response', () => {
    const { message, binding } = protectRequest(OPERATOR, numberOf('token 4a and sequence number'), PING);
    const request = formatMessage({ type: 'CON', ...HEAD, ...message });
    expect(example('request').equals(request)).toBe(true);
    expect(request.length - formatMessage({ type: 'CON', ...HEAD, ...PING }).length).toBe(18);
    const parts = { code: '2.05', options: [{ number: OPTION.contentFormat, value: Buffer.alloc(0) }] };
    const number = numberOf("the device's sequence number");
    const response = protectResponse(DEVICE, binding, number, { ...parts, payload: Buffer.from('pong') });
    expect(example('response').equals(formatMessage({ type: 'ACK', ...HEAD, ...response }))).toBe(true);
  });

  it('has a request that a device with this key challenges', async () => {
    const secret = masterSecret.toString('hex');
    const key = parseKeyFile('ops', JSON.stringify({ device: deviceId, kid, secret }));
    const { reply } = startPipeline({ keys: [key], config: { state: { folder: temporaryFolder() } } });
    const { binding } = protectRequest(OPERATOR, numberOf('token 4a and sequence number'), PING);
    const opened = unprotectResponse(OPERATOR, binding, parseMessage(await reply(example('request'))));
    expect(opened).toMatchObject({ ok: true, message: { code: '4.01', options: [{ number: OPTION.echo }] } });
  });

  it('says how many unprotected errors there are', () => {
    expect(PROTOCOL).toContain(`at most ${MAX_ERRORS_PER_SECOND} times a second`);
  });
});

describe('docs/security.md', () => {
  it('has a key file that a device can use', () => {
    const [, text = ''] = /```json\n(.*?)\n```/s.exec(SECURITY) ?? [];
    const key = parseKeyFile('ops', text);
    expect([key.deviceId, key.kid]).toEqual([deviceId, kid]);
    expect(['health', 'relay.set', 'device.reboot'].map((name) => mayCall(key, name))).toEqual([true, true, false]);
  });

  it('explains each cause for which requests are denied', () => {
    for (const cause of Object.keys(createCounters().denied)) expect(SECURITY).toContain(`\`${cause}\``);
  });
});
