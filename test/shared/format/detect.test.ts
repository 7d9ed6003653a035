import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Detected, detectFormat } from '../../../shared/format/detect.js';
import { quoteWord } from '../../../shared/format/text.js';
import { SEED } from '../../support/seed.js';

/** The table of formats once more, over hexadecimal digits and with the platform's own UTF-8 decoder. */
function oracle(bytes: Buffer): Detected {
  const hex = bytes.toString('hex');
  if (/^[45][0-8](0[0-8bcef]|1.)/.test(hex)) return 'coap';
  if (/^[67]000/.test(hex)) return 'coap';
  if (/^[89ab]/.test(hex)) return 'cbor';
  if (/^(20|09|0a|0d)*[57]b/.test(hex)) return 'json';
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    return text === '' || /[^\P{Cc}\t\n\r]/u.test(text) ? 'malformed' : 'text';
  } catch {
    return 'malformed';
  }
}

const twoBytes = Array.from({ length: 65_536 }, (_, prefix) => Buffer.from([prefix >> 8, prefix & 0xff]));

const misjudged = (datagrams: readonly Buffer[]) =>
  datagrams
    .filter((bytes) => detectFormat(bytes) !== oracle(bytes))
    .map((bytes) => `${bytes.toString('hex')}: ${detectFormat(bytes)}, not ${oracle(bytes)}`);

describe('a datagram’s format', () => {
  it('is what the table says for every datagram of one byte', () => {
    expect(misjudged(Array.from({ length: 256 }, (_, byte) => Buffer.from([byte])))).toEqual([]);
  });

  it('is what the table says for all 65,536 datagrams of two bytes', () => {
    expect(misjudged(twoBytes)).toEqual([]);
  });

  it.each<[string, string | Buffer]>([
    ['a letter', 'a'],
    ['white space', ' \r\n\t'],
    ['JSON', '{}'],
    ['the last byte of a longer character', Buffer.from([0xac])],
    ['NUL', '\0'],
    ['more than a line of UTF-8', 'größer …\n'],
  ])('is what the table says for all 65,536 prefixes followed by %s', (_what, tail) => {
    expect(misjudged(twoBytes.map((prefix) => Buffer.concat([prefix, Buffer.from(tail)])))).toEqual([]);
  });

  it('is what the table says for every character of Unicode’s first plane', () => {
    const characters = Array.from({ length: 0x1_0000 }, (_, code) => Buffer.from(String.fromCharCode(code)));
    expect(misjudged(characters)).toEqual([]);
  });

  it('divides the two-byte prefixes as counted by hand', () => {
    const counts = new Map<Detected, number>();
    for (const bytes of twoBytes) counts.set(detectFormat(bytes), (counts.get(detectFormat(bytes)) ?? 0) + 1);
    // 18 first bytes (40–48, 50–58) with 29 codes, and the empty ACK and RST.
    expect(counts.get('coap')).toBe(18 * 29 + 2);
    expect(counts.get('cbor')).toBe(64 * 256);
    // `{` and `[` first, or behind one of four kinds of white space.
    expect(counts.get('json')).toBe(2 * 256 + 4 * 2);
    // Two of 98 ASCII characters (95 printing, TAB, LF, CR) without the JSON above, or one of U+00A0 … U+07FF.
    expect(counts.get('text')).toBe(98 * 98 - (2 * 98 + 4 * 2) + (0x800 - 0xa0));
  });

  it('is malformed for an empty datagram', () => {
    expect(detectFormat(Buffer.alloc(0))).toBe('malformed');
  });

  it('is JSON only when nothing but JSON’s white space precedes the brace', () => {
    expect(detectFormat(Buffer.from(' \t\r\n [1]'))).toBe('json');
    expect(detectFormat(Buffer.from('\u{a0}{}'))).toBe('text');
    expect(detectFormat(Buffer.from('\u{feff}{}'))).toBe('text');
  });

  it('is never text with a control character', () => {
    for (const control of ['\0', '\x08', '\x0b', '\x1b', '\x7f', '\u{80}', '\u{85}', '\u{9f}']) {
      expect(detectFormat(Buffer.from(`ping ${control}`)), JSON.stringify(control)).toBe('malformed');
    }
    expect(detectFormat(Buffer.from('ping\t\r\n'))).toBe('text');
  });

  it('is never CoAP for a valid text command', () => {
    const word = fc.string({ unit: 'grapheme' }).filter((text) => !/[^\P{Cc}\t\n\r]/u.test(text));
    const command = fc
      .tuple(
        fc.stringMatching(/^[A-Za-z][A-Za-z0-9_.-]{0,10}$/),
        fc.constantFrom(' ', '\t', '\n', '\r\n'),
        fc.array(word),
      )
      .map(([name, space, words]) => [name, ...words.map(quoteWord)].join(space));
    fc.assert(
      fc.property(command, fc.option(fc.stringMatching(/^#[A-Za-z0-9]{1,9} $/), { nil: '' }), (text, id) => {
        expect(detectFormat(Buffer.from(id + text))).toBe('text');
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  it('is never text for a CoAP request with any content', () => {
    const request = fc
      .record({
        type: fc.constantFrom(0x40, 0x50),
        tokenLength: fc.integer({ min: 0, max: 8 }),
        code: fc.integer({ min: 0, max: 0x1f }).filter((code) => ![0x09, 0x0a, 0x0d].includes(code)),
        rest: fc.uint8Array({ maxLength: 60 }),
      })
      .map(({ type, tokenLength, code, rest }) => Buffer.from([type | tokenLength, code, ...rest]));
    fc.assert(
      fc.property(request, (bytes) => {
        expect(detectFormat(bytes)).toBe('coap');
        expect(/[^\P{Cc}\t\n\r]/u.test(bytes.toString('utf8'))).toBe(true);
      }),
      { seed: SEED, numRuns: 500 },
    );
  });
});
