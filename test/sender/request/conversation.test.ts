import { describe, expect, it } from 'vitest';
import { createResources } from '../../../agent/command/coap/resources.js';
import { encodeAnswers, markRepeat } from '../../../agent/command/codec/encode.js';
import { coapConversation } from '../../../sender/request/coap.js';
import { plainConversation } from '../../../sender/request/plain-formats.js';
import { formatMessage, parseMessage } from '../../../shared/coap/message.js';
import { readRequest } from '../../../shared/coap/request.js';
import type { Reply } from '../../../shared/command.js';
import { parseJsonRpc } from '../../../shared/format/json-rpc.js';
import { fromCbor, toCbor } from '../../../shared/format/value.js';

const TAG = Buffer.from('c0ffee123456', 'hex');
const ID = TAG.toString('hex');
const JOURNAL = '0123456789ab:86400';
const IDENTITY = { id: '0123456789ab', age: 86_400 };
const BUSY = { code: 'busy', message: 'too many' } as const;

const common = { name: 'relay.set', params: undefined, deadline: undefined };
const plain = (format: 'text' | 'json' | 'cbor', asksJournal = false) =>
  plainConversation({ ...common, format, id: ID, asksJournal });
const coap = (asksJournal = false, params?: Buffer) =>
  coapConversation({ ...common, params, get: false, tag: TAG, messageId: 7, asksJournal });

/** Writes a reply as a device does, and reads it as the sender does. */
const ways: readonly [string, (reply: Reply) => unknown][] = [
  ...(['text', 'json', 'cbor'] as const).flatMap((format): [string, (reply: Reply) => unknown][] => {
    const written = (reply: Reply) => encodeAnswers(format, [{ id: ID, reply }], false) ?? Buffer.alloc(0);
    const read = (bytes: Uint8Array) => plain(format).interpret(Buffer.from(bytes), false);
    return [
      [format, (reply) => read(written(reply))],
      [`${format}, in a repeat`, (reply) => read(markRepeat(format, written(reply)))],
    ];
  }),
  [
    'coap',
    (reply) => {
      const conversation = coap();
      const request = parseMessage(conversation.bytes);
      const { responseTo } = createResources({ registry: new Map(), authorize: () => undefined });
      const { token, messageId } = request;
      const response = formatMessage({ type: 'ACK', token, messageId, ...responseTo(request, reply) });
      return conversation.interpret(response, false);
    },
  ],
];

describe.each(ways)('a reply in %s', (way, read) => {
  it('that refuses without a record is no end of the command', () => {
    expect(read({ error: BUSY, recorded: false })).toEqual({ type: 'unrecorded' });
    expect(read({ error: { code: 'busy', message: 'x'.repeat(5000) }, recorded: false })).toEqual({
      type: 'unrecorded',
    });
  });

  it('that refuses with a record is the end, as it was before there was the mark', () => {
    expect(read({ error: BUSY })).toMatchObject({ type: 'end', ending: { outcome: 'refused', error: BUSY } });
  });

  it('without a record of an error that is no refusal means what it says', () => {
    const error = { code: 'handler-failed', message: 'x' } as const;
    expect(read({ error, recorded: false })).toMatchObject({ type: 'end', ending: { outcome: 'failed' } });
  });

  it('to a repeat whose result is forgotten is done, and says so', () => {
    expect(read({ result: undefined, forgotten: true })).toEqual({
      type: 'end',
      ending: { outcome: 'done', result: undefined, forgotten: true },
    });
    expect(read({ result: undefined })).toEqual({ type: 'end', ending: { outcome: 'done', result: undefined } });
  });

  it('tells the identity of the journal, but not in text', () => {
    const told = way.startsWith('text') ? {} : { journal: IDENTITY };
    expect(read({ result: 'x', journal: JOURNAL })).toEqual({
      type: 'end',
      ending: { outcome: 'done', result: 'x', ...told },
    });
    const refused = read({ error: BUSY, journal: JOURNAL });
    expect(refused).toMatchObject({ type: 'end', ending: { outcome: 'refused', ...told } });
    expect(read({ result: 'x', journal: 'something new' })).toEqual({
      type: 'end',
      ending: { outcome: 'done', result: 'x' },
    });
  });
});

describe('a request', () => {
  it('asks for the identity of the journal in JSON and CBOR by a member', () => {
    const asks = (document: unknown) =>
      parseJsonRpc(document, toCbor).entries.map((entry) => 'request' in entry && entry.request.asksJournal);
    for (const asked of [true, false]) {
      expect(asks(JSON.parse(plain('json', asked).bytes.toString()))).toEqual([asked || undefined]);
      expect(asks(fromCbor(plain('cbor', asked).bytes))).toEqual([asked || undefined]);
    }
  });

  it('asks for it in CoAP by an option, in each block of a long request', () => {
    for (const params of [undefined, Buffer.alloc(600)]) {
      const request = (asked: boolean) => readRequest(parseMessage(coap(asked, params).bytes));
      expect(request(true)).toMatchObject({ asksJournal: true });
      expect(request(false)).toMatchObject({ asksJournal: undefined });
    }
  });

  it('cannot ask for it in text', () => {
    expect(() => plain('text', true)).toThrow(expect.objectContaining({ code: 'bad-input' }));
  });

  it('that does not ask has the bytes that it always had', () => {
    expect(coap().bytes.toString('hex')).toBe('48020007c0ffee1234560000b572656c617903736574e6000cc0ffee123456');
    expect(plain('json').bytes.toString()).toBe(`{"jsonrpc":"2.0","method":"relay.set","id":"${ID}"}`);
  });
});

it('an unrecorded refusal in a confirmable response is acknowledged', () => {
  const conversation = coap();
  const { token } = parseMessage(conversation.bytes);
  const options = [{ number: 65_004, value: Buffer.alloc(0) }];
  const response = {
    type: 'CON',
    code: '5.03',
    messageId: 9,
    token,
    options,
    payload: Buffer.from('busy: x'),
  } as const;
  expect(conversation.interpret(formatMessage(response), false)).toEqual({
    type: 'unrecorded',
    acknowledge: Buffer.from('60000009', 'hex'),
  });
});
