import { describe, expect, it } from 'vitest';
import { type CoapMessage, emptyMessage, formatMessage, parseMessage } from '../../../shared/coap/message.js';
import { OPTION } from '../../../shared/coap/options.js';
import { SEED, seededRandom } from '../../support/seed.js';

const NONE = Buffer.alloc(0);
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const ascii = (text: string) => Buffer.from(text).toString('hex');
const option = (number: number, value: string) => ({ number, value: hex(value) });
const TEMPERATURE = { number: OPTION.uriPath, value: Buffer.from('temperature') };

/** The messages of RFC 7252, appendix A, byte by byte, and the message types that it has no picture of. */
const MESSAGES: readonly (readonly [what: string, bytes: string, message: CoapMessage])[] = [
  [
    'a confirmable GET without a token',
    `40 01 7d34 bb ${ascii('temperature')}`,
    { type: 'CON', code: '0.01', messageId: 0x7d34, token: NONE, options: [TEMPERATURE], payload: NONE },
  ],
  [
    'its piggybacked response',
    `60 45 7d34 ff ${ascii('22.3 C')}`,
    { type: 'ACK', code: '2.05', messageId: 0x7d34, token: NONE, options: [], payload: Buffer.from('22.3 C') },
  ],
  [
    'a confirmable GET with a token',
    `41 01 7d35 20 bb ${ascii('temperature')}`,
    { type: 'CON', code: '0.01', messageId: 0x7d35, token: hex('20'), options: [TEMPERATURE], payload: NONE },
  ],
  [
    'the response with that token',
    `61 45 7d35 20 ff ${ascii('22.3 C')}`,
    { type: 'ACK', code: '2.05', messageId: 0x7d35, token: hex('20'), options: [], payload: Buffer.from('22.3 C') },
  ],
  ['an empty acknowledgement', '60 00 7d38', emptyMessage('ACK', 0x7d38)],
  [
    'a separate confirmable response',
    `41 45 ad7b 53 ff ${ascii('22.3 C')}`,
    { type: 'CON', code: '2.05', messageId: 0xad7b, token: hex('53'), options: [], payload: Buffer.from('22.3 C') },
  ],
  [
    'a non-confirmable GET',
    `51 01 7d40 75 bb ${ascii('temperature')}`,
    { type: 'NON', code: '0.01', messageId: 0x7d40, token: hex('75'), options: [TEMPERATURE], payload: NONE },
  ],
  [
    'a non-confirmable response',
    `51 45 ad7e 75 ff ${ascii('22.3 C')}`,
    { type: 'NON', code: '2.05', messageId: 0xad7e, token: hex('75'), options: [], payload: Buffer.from('22.3 C') },
  ],
  ['a reset', '70 00 ffff', emptyMessage('RST', 0xffff)],
  ['a ping', '40 00 0000', emptyMessage('CON', 0)],
  [
    'a token of eight bytes',
    '48 02 0001 0102030405060708',
    { type: 'CON', code: '0.02', messageId: 1, token: hex('0102030405060708'), options: [], payload: NONE },
  ],
  [
    'options with every length of delta and of value',
    `40 01 0001 d0 00 e0 0000 0d 00 ${'61'.repeat(13)} 0e 0000 ${'62'.repeat(269)} dd ff ff ${'63'.repeat(268)}`,
    {
      type: 'CON',
      code: '0.01',
      messageId: 1,
      token: NONE,
      options: [
        { number: 13, value: NONE },
        { number: 282, value: NONE },
        { number: 282, value: Buffer.alloc(13, 'a') },
        { number: 282, value: Buffer.alloc(269, 'b') },
        { number: 550, value: Buffer.alloc(268, 'c') },
      ],
      payload: NONE,
    },
  ],
  [
    'an option of the number 0 and a payload that is a marker itself',
    '40 01 0001 00 ff ff',
    {
      type: 'CON',
      code: '0.01',
      messageId: 1,
      token: NONE,
      options: [{ number: 0, value: NONE }],
      payload: hex('ff'),
    },
  ],
];

describe('a CoAP message', () => {
  it.each(MESSAGES)('is read from its bytes: %s', (_, bytes, message) => {
    expect(parseMessage(hex(bytes))).toEqual(message);
  });

  it.each(MESSAGES)('is written to its bytes: %s', (_, bytes, message) => {
    expect(formatMessage(message).toString('hex')).toBe(hex(bytes).toString('hex'));
  });

  it('has its options in the order of their numbers, those of one number in the given order', () => {
    const written = formatMessage({
      type: 'CON',
      code: '0.01',
      messageId: 1,
      token: NONE,
      options: [
        { number: OPTION.requestTag, value: hex('01') },
        { number: OPTION.uriPath, value: Buffer.from('b') },
        { number: OPTION.accept, value: NONE },
        { number: OPTION.uriPath, value: Buffer.from('a') },
      ],
      payload: NONE,
    });
    expect(written.toString('hex')).toBe(hex(`40 01 0001 b1 62 01 61 60 e1 0006 01`).toString('hex'));
  });

  it('has its own Content-Format, whatever was written before', () => {
    for (const value of ['', '00', '32', '3c', '', '00', '3c', '0032', '2d18']) {
      const message = { ...emptyMessage('ACK', 1), code: '2.05', options: [option(OPTION.contentFormat, value)] };
      const written = `60 45 0001 c${value.length / 2} ${value}`;
      expect(formatMessage(message).toString('hex')).toBe(hex(written).toString('hex'));
      expect(formatMessage({ ...message, token: hex('07'), payload: hex('ff00') }).toString('hex')).toBe(
        hex(`61 45 0001 07 c${value.length / 2} ${value} ff ff00`).toString('hex'),
      );
    }
    const two = [option(OPTION.contentFormat, '3c'), option(OPTION.maxAge, '05')];
    const message = { ...emptyMessage('ACK', 1), code: '5.03', options: two };
    expect(formatMessage(message).toString('hex')).toBe('60a30001c13c2105');
  });

  it('has options by number, also those that the codec names', () => {
    for (let number = 0; number <= 65_535; number++) {
      const bytes = formatMessage({
        type: 'CON',
        code: '0.01',
        messageId: 1,
        token: NONE,
        options: [{ number, value: hex('aa') }],
        payload: NONE,
      });
      const [option] = parseMessage(bytes).options;
      if (option?.number !== number) expect.unreachable(`${number} became ${option?.number}`);
    }
  });

  it('is read back as it was written, with any content', () => {
    const { integer, bytes, pick } = seededRandom(SEED);
    for (let round = 0; round < 2000; round++) {
      const numbers = Array.from({ length: integer(6) }, () => integer(pick([30, 300, 65_536])));
      const message: CoapMessage = {
        type: pick(['CON', 'NON', 'ACK', 'RST']),
        code: `${integer(8)}.${String(1 + integer(31)).padStart(2, '0')}`,
        messageId: integer(65_536),
        token: bytes(integer(9)),
        options: numbers.sort((a, b) => a - b).map((number) => ({ number, value: bytes(integer(pick([4, 20, 300]))) })),
        payload: bytes(integer(30)),
      };
      expect(parseMessage(formatMessage(message)), `round ${round} of seed ${SEED}`).toEqual(message);
    }
  });
});

describe('bytes that are not a CoAP message', () => {
  it.each([
    ['nothing', ''],
    ['a header that is cut', '40 01 00'],
    ['version 0', '00 01 0001'],
    ['version 2', '80 01 0001'],
    ['version 3', 'c0 01 0001'],
    ['a token of 9 bytes', '49 01 0001 010203040506070809'],
    ['a token length that another codec reads as an extension', `4d 01 0001 00 ${'01'.repeat(13)}`],
    ['the reserved token length 15', `4f 01 0001 ${'01'.repeat(15)}`],
    ['a token beyond the end', '44 01 0001 010203'],
    ['an option beyond the end', '40 01 0001 b4 616263'],
    ['a delta of 13 beyond the end', '40 01 0001 d0'],
    ['a delta of 14 beyond the end', '40 01 0001 e0 00'],
    ['a length of 13 beyond the end', '40 01 0001 0d'],
    ['a length of 14 beyond the end', '40 01 0001 0e 00'],
    ['a value of extended length beyond the end', `40 01 0001 0d 00 ${'61'.repeat(12)}`],
    ['the reserved delta 15', '40 01 0001 f1 61'],
    ['the reserved length 15', '40 01 0001 1f 61'],
    ['a marker with no payload behind it', '40 01 0001 ff'],
    ['a marker with no payload behind options', '40 01 0001 b161 ff'],
    ['an empty message with a token', '41 00 0001 20'],
    ['an empty message with an option', '40 00 0001 b161'],
    ['an empty message with a payload', '40 00 0001 ff 61'],
    ['an empty reset with a token', '71 00 0001 20'],
  ])('are refused: %s', (_, bytes) => {
    expect(() => parseMessage(hex(bytes))).toThrow();
  });

  it('include every message of the table without its last byte, unless that byte was payload', () => {
    for (const [what, bytes, { payload, token, options }] of MESSAGES) {
      if (payload.length > 1 || (options.at(-1)?.value.length === 0 && payload.length === 0)) continue;
      if (payload.length === 0 && options.length === 0 && token.length === 0) continue;
      expect(() => parseMessage(hex(bytes).subarray(0, -1)), what).toThrow();
    }
  });
});
