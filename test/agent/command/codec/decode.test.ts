import { encode } from 'cborg';
import { describe, expect, it } from 'vitest';
import { decode } from '../../../../agent/command/codec/decode.js';
import { resolveConfig } from '../../../../agent/config/load.js';
import type { ConfigInput, ListenedPort } from '../../../../agent/config/schema.js';
import { parseMessage } from '../../../../shared/coap/message.js';

type Ports = NonNullable<NonNullable<ConfigInput['listen']>['ports']>;

function listened(port: Ports[number]): ListenedPort {
  const [first] = resolveConfig({ listen: { ports: [port] } }).listen.ports;
  if (first === undefined) throw new Error('the configuration has no port');
  return first;
}

const AUTO = listened(6969);
const REQUEST = { id: 1, method: 'ping' };
const SAMPLES = {
  text: Buffer.from('ping'),
  json: Buffer.from(JSON.stringify(REQUEST)),
  cbor: Buffer.from(encode(REQUEST)),
  // Confirmable GET with the path /ping.
  coap: Buffer.from('40010001b470696e67', 'hex'),
  malformed: Buffer.from([0xff, 0x00]),
};
const PINNED = ['text', 'json', 'cbor'] as const;

const entriesOf = (bytes: Uint8Array) => {
  const decoded = decode(Buffer.from(bytes), AUTO);
  return decoded === undefined || decoded.format === 'coap' ? undefined : decoded.message.entries;
};

const parseErrorOf = (bytes: Uint8Array) => {
  return entriesOf(bytes)?.map((entry) => ('error' in entry ? [entry.id, entry.error.code] : 'a request'));
};

describe('a datagram to an auto port', () => {
  it.each(PINNED)('is read as %s when it looks like that', (format) => {
    expect(decode(SAMPLES[format], AUTO)?.format).toBe(format);
    expect(entriesOf(SAMPLES[format])).toMatchObject([{ request: { name: 'ping' } }]);
  });

  it('is told apart when it is CoAP, and not read when it is in no format', () => {
    expect(decode(SAMPLES.coap, AUTO)).toEqual({ format: 'coap', coapMessage: parseMessage(SAMPLES.coap) });
    expect(decode(SAMPLES.malformed, AUTO)).toBe(undefined);
  });
});

describe('a datagram to a port pinned to a format', () => {
  it.each(PINNED)('%s is read in no other', (format) => {
    const port = listened({ port: 7000, format });
    for (const [name, bytes] of Object.entries(SAMPLES)) {
      expect(decode(bytes, port)?.format, name).toBe(name === format ? format : undefined);
    }
  });

  it('raw is handed whole to its handler, whatever it looks like', () => {
    const port = listened({ port: 7000, format: 'raw', handler: 'meter.read' });
    for (const bytes of Object.values(SAMPLES)) {
      expect(decode(bytes, port)).toEqual({
        format: 'raw',
        message: {
          entries: [{ request: { name: 'meter.read', params: { positional: [bytes], named: {} } } }],
          batch: false,
        },
      });
    }
  });
});

describe('what begins like JSON or CBOR but is not', () => {
  it.each([
    ['JSON cut off', Buffer.from('{"method": "ping", "id": 1')],
    ['two JSON documents', Buffer.from('{}{}')],
    ['a bracket and nothing', Buffer.from('[')],
    ['JSON that is not UTF-8', Buffer.concat([Buffer.from('{"method":"'), Buffer.from([0xff]), Buffer.from('"}')])],
    ['JSON with a NUL', Buffer.from('{"method":"\0"}')],
    ['1,300 brackets', Buffer.alloc(1300, '[')],
    ['CBOR cut off', encode(REQUEST).subarray(0, 5)],
    ['CBOR with a byte behind it', Buffer.concat([encode(REQUEST), Buffer.from([0])])],
    ['CBOR with a tag', Buffer.from('a1c0616101', 'hex')],
    ['CBOR with a key twice', Buffer.from('a2626964016269640266', 'hex')],
    ['1,300 CBOR arrays', Buffer.alloc(1300, 0x81)],
    ['an integer that would come back changed', Buffer.from('a26269641b00200000000000016666d6574686f64', 'hex')],
  ])('is a parse error under null: %s', (_what, bytes) => {
    expect(parseErrorOf(bytes)).toEqual([[null, 'parse-error']]);
  });

  it('is an invalid request when it is JSON or CBOR all the same', () => {
    for (const document of [{}, [1], { id: 1 }]) {
      expect(parseErrorOf(encode(document))?.[0]?.[1]).toBe('invalid-request');
      expect(parseErrorOf(Buffer.from(JSON.stringify(document)))?.[0]?.[1]).toBe('invalid-request');
    }
  });
});

describe('a request in CBOR', () => {
  it('may have arrays and maps of indefinite length', () => {
    // {_ "method": "echo", "params": [_ 1, 2], "id": 7}
    const bytes = Buffer.from(`bf666d6574686f64646563686f66706172616d739f0102ff62696407ff`, 'hex');
    expect(entriesOf(bytes)).toEqual([{ request: { id: 7, name: 'echo', params: { positional: [1, 2], named: {} } } }]);
  });

  it('carries bytes', () => {
    const all = new Uint8Array(Array.from({ length: 256 }, (_, byte) => byte));
    expect(entriesOf(encode({ id: 1, method: 'a', params: { all } }))).toMatchObject([
      { request: { params: { named: { all } } } },
    ]);
  });
});
