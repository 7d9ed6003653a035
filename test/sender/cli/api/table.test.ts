import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { showPayload } from '../../../../sender/cli/api/payload.js';
import { details, fitRow, jsonLine, tableHead, tableRow } from '../../../../sender/cli/api/table.js';
import { EXIT, reportError } from '../../../../sender/cli/exit.js';
import { ApiError } from '../../../../sender/index.js';
import { formatError, printable } from '../../../../shared/cli.js';
import { ERRORS, SupersimError } from '../../../../shared/errors.js';
import { toCbor } from '../../../../shared/format/value.js';
import { ipCommand, SIM, Sink } from '../../support.js';

const show = (bytes: Uint8Array | string) =>
  showPayload({ payload: Buffer.from(bytes).toString('base64'), payload_type: 'binary' });

/** Controls, bidirectional marks, line separators, half characters. */
const UNPRINTABLE = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}\p{Cs}]/u;

describe('showPayload', () => {
  it.each([
    ['text', '#1 ok pong', '#1 ok pong'],
    ['text in UTF-8', 'grüß 你好 🎉', 'grüß 你好 🎉'],
    ['text of some lines', 'a\r\n\tb\n', 'a\\r\\n\\tb\\n'],
    ['JSON', ' {"jsonrpc": "2.0",\n "result": [1, 2] }\n', '{"jsonrpc":"2.0","result":[1,2]}'],
    ['JSON strings with white space', '{ "a b" : "c \\" d" }', '{"a b":"c \\" d"}'],
    ['JSON numbers that a parser would round', '[ 12345678901234567890, 1.10 ]', '[12345678901234567890,1.10]'],
    ['what only looks like JSON', '[12:00]  up', '[12:00]  up'],
    ['controls in JSON', '{"a":"\u009b\u202e"}', '{"a":"\\u009b\\u202e"}'],
    ['controls in what only looks like JSON', '{\u001b[2J', '{\\u001b[2J'],
    ['no UTF-8 that begins like JSON', Uint8Array.of(0x7b, 0xff), '0x7bff'],
    ['CBOR', toCbor({ id: 7, result: ['a"b', 1.5, true, null] }), '{"id":7,"result":["a\\"b",1.5,true,null]}'],
    ['bytes in CBOR', toCbor({ b: Uint8Array.of(1, 255) }), `{"b":h'01ff'}`],
    ['CBOR numbers that would be rounded', toCbor([2n ** 63n]), '0x811b8000000000000000'],
    ['no whole CBOR', Uint8Array.of(0xa1, 0x61), '0xa161'],
    ['CoAP', Uint8Array.of(0x40, 0x01, 0x12, 0x34), '0x40011234'],
    ['other bytes', Uint8Array.of(0, 1, 0xfe), '0x0001fe'],
    ['an escape sequence', '\u001b[2J', '0x1b5b324a'],
    ['no bytes', '', '0x'],
  ])('shows %s', (_, bytes, shown) => {
    expect(show(bytes)).toBe(shown);
  });

  it('shows a payload of type text as it was sent', () => {
    expect(showPayload({ payload: 'cGluZw==', payload_type: 'text' })).toBe('cGluZw==');
  });

  it('never outputs a control character, for any bytes', () => {
    const anyBytes = fc.uint8Array({ maxLength: 60 });
    const anyText = fc.string({ unit: 'binary' }).map((text) => Buffer.from(text));
    const anyJson = fc.json().map((text) => Buffer.from(text));
    const anyCbor = fc.dictionary(fc.string(), fc.string({ unit: 'binary' })).map((value) => toCbor(value));
    fc.assert(
      fc.property(fc.oneof(anyBytes, anyText, anyJson, anyCbor), (bytes) => !UNPRINTABLE.test(show(bytes))),
      { numRuns: 2000 },
    );
  });
});

describe('printable', () => {
  it.each([
    ['\u001b[31mred\u0007', '\\u001b[31mred\\u0007'],
    ['\u0080\u009b\u007f', '\\u0080\\u009b\\u007f'],
    ['user\u202Etxt.exe', 'user\\u202etxt.exe'],
    ['a\u2028b\ud800', 'a\\u2028b\\ud800'],
    ['plain – ünïcödé 🎉', 'plain – ünïcödé 🎉'],
  ])('writes %j as escapes', (text, safe) => {
    expect(printable(text)).toBe(safe);
  });
});

describe('jsonLine', () => {
  it('is the IP Command, safe for a terminal, on one line', () => {
    const command = ipCommand(1, { payload: 'a\n\u001b[2J\u009b\u202e"\\' });
    const line = jsonLine(command);
    expect(JSON.parse(line)).toEqual(command);
    expect(line).not.toMatch(UNPRINTABLE);
  });
});

describe('the table of IP Commands', () => {
  it('is aligned', () => {
    const rows = [ipCommand(1), ipCommand(2, { direction: 'from_sim', status: 'received', device_port: 1 })];
    expect([tableHead(), ...rows.map(tableRow)].join('\n')).toBe(
      [
        'CREATED               SID                                 SIM                                 DIRECTION  STATUS    PORT   PAYLOAD',
        `2026-03-01T12:00:00Z  HG00000000000000000000000000000001  ${SIM}  to_sim     queued    6969   payload 1`,
        `2026-03-01T12:00:00Z  HG00000000000000000000000000000002  ${SIM}  from_sim   received  1      payload 2`,
      ].join('\n'),
    );
  });

  it('is cut to a terminal’s width, but not below some characters of the payload', () => {
    const row = tableRow(ipCommand(1, { payload: '🎉'.repeat(100) }));
    const start = tableHead().indexOf('PAYLOAD');
    expect(fitRow(row, { isTTY: true, columns: 150 })).toBe(`${row.slice(0, start)}${'🎉'.repeat(149 - start)}…`);
    expect(fitRow(row, { isTTY: true, columns: 80 })).toBe(`${row.slice(0, start)}${'🎉'.repeat(23)}…`);
    expect(fitRow(row, { isTTY: true, columns: 500 })).toBe(row);
    expect(fitRow(row, { isTTY: false, columns: 80 })).toBe(row);
  });
});

describe('details', () => {
  it('has a line for each member', () => {
    const command = ipCommand(1, { sim_iccid: '89\u001b[2J', device_ip: '100.64.0.9', payload: 'a\nb' });
    expect(details(command).split('\n')).toEqual([
      'sid        HG00000000000000000000000000000001',
      `sim        ${SIM}`,
      'iccid      89\\u001b[2J',
      'direction  to_sim',
      'status     queued',
      'device     100.64.0.9 port 6969',
      'created    2026-03-01T12:00:00Z',
      'updated    2026-03-01T12:00:00Z',
      'type       text',
      'payload    a\\nb',
    ]);
  });
});

describe('reportError', () => {
  it.each([
    ['bad-input', EXIT.usage, 2],
    ['too-large', EXIT.usage, 2],
    ['no-credentials', EXIT.usage, 2],
    ['profile-unsafe', EXIT.usage, 2],
    ['api-error', EXIT.refused, 3],
    ['api-unknown-fate', EXIT.unknownFate, 4],
    ['api-unreachable', EXIT.unreachable, 5],
    ['api-invalid-response', EXIT.error, 1],
  ] as const)('prints %s and its remedy, and exits with %i', (code, exit, number) => {
    const stderr = new Sink();
    expect(reportError(new SupersimError(code, 'what\u001b'), stderr)).toBe(exit);
    expect(exit).toBe(number);
    expect(stderr.text).toBe(`error ${code}: what\\u001b\n${ERRORS[code].remedy}\n`);
  });

  it('prints an ApiError', () => {
    const stderr = new Sink();
    const body = JSON.stringify({ code: 20404, message: 'no \u001b such\r\nerror busy: ', more_info: 'https://\nx' });
    expect(reportError(new ApiError(404, body), stderr)).toBe(3);
    expect(stderr.text.split('\n')).toEqual([
      'error api-error: HTTP 404, code 20404: no \\u001b such error busy: (https:// x)',
      ERRORS['api-error'].remedy,
      '',
    ]);
  });

  it('prints anything else that was thrown', () => {
    const stderr = new Sink();
    expect(reportError(new RangeError('x'), stderr)).toBe(1);
    expect(stderr.text).toBe('error: x\n');
    expect(formatError('y')).toBe('error: y\n');
  });

  it('prints nothing when the reader closed the pipe', () => {
    const stderr = new Sink();
    expect(reportError(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }), stderr)).toBe(0);
    expect(stderr.text).toBe('');
  });
});
