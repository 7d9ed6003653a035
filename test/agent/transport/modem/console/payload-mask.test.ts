import { describe, expect, it } from 'vitest';
import { DIALECT_NAMES, type DialectName } from '../../../../../agent/config/dialect-names.js';
import type { LogChunk } from '../../../../../agent/transport/modem/console/log-reader.js';
import { createPayloadMask } from '../../../../../agent/transport/modem/console/payload-mask.js';
import { DIALECTS } from '../../../../../agent/transport/modem/dialects/index.js';
import { conversation, type Exchange, observe, P12 } from '../support.js';
import { TRANSCRIPTS } from '../transcripts.js';

const BEGINNING: Exchange = conversation('> AT\r', '< \r\nOK\r\n');
/** A datagram without its bytes. */
const lengthOnly = (line: string): string =>
  line.replace(/^(datagram .* |discarded incomplete )([0-9a-f]*)$/, (_, head, hex) => `${head}${hex.length / 2}`);

const chunksOf = (exchange: Exchange): LogChunk[] =>
  exchange.map(([direction, text], at) => ({ at, direction, bytes: Buffer.from(text, 'latin1') }));

/** What comes, byte by byte; what is written is written in one go. */
const slowly = (chunks: readonly LogChunk[]): LogChunk[] =>
  chunks.flatMap((chunk) =>
    chunk.direction === 'tx' ? [chunk] : [...chunk.bytes].map((byte) => ({ ...chunk, bytes: Buffer.from([byte]) })),
  );

function hide(names: readonly DialectName[], chunks: readonly LogChunk[]): LogChunk[] {
  const mask = createPayloadMask(names.map((name) => DIALECTS[name].grammar));
  return chunks.flatMap((chunk) => mask.hide(chunk) ?? []);
}

const textOf = (chunks: readonly LogChunk[]): string =>
  chunks.map(({ direction, bytes }) => `${direction} ${bytes.toString('latin1')}`).join('\n');
const lengthsOf = (chunks: readonly LogChunk[]): number[] => chunks.map(({ bytes }) => bytes.length);

describe('the payload mask', () => {
  /** An echo that begins as every line does is taken for one. */
  const readable = TRANSCRIPTS.filter(
    ({ exchange }) => !exchange.some(([direction, text]) => direction === 'tx' && text.startsWith('\r\n')),
  );

  it.each(readable)('keeps all but the bytes of the datagrams, $dialect: $what', (transcript) => {
    const { dialect, exchange } = transcript;
    const chunks = chunksOf([...BEGINNING, ...exchange]);
    for (const log of [chunks, slowly(chunks)]) {
      for (const known of [[dialect], DIALECT_NAMES]) {
        const hidden = hide(known, log);
        expect(lengthsOf(hidden)).toEqual(lengthsOf(log));
        expect(observe(dialect, hidden).map(lengthOnly)).toEqual(observe(dialect, log).map(lengthOnly));
        const joined = hidden.filter(({ direction }) => direction === 'rx').map(({ bytes }) => bytes);
        expect(Buffer.concat(joined).toString('latin1')).not.toContain(P12);
      }
    }
  });

  it('hides the PIN and payloads that a command carries in hexadecimal', () => {
    const log = chunksOf([
      ['tx', 'AT+CPIN="4711"\r'],
      ['rx', 'AT+CPIN="4711"\r\r\nOK\r\n'],
      ['tx', 'AT+CPIN=4711\r'],
      ['tx', 'AT+USOST=0,"100.64.0.1",6969,2,"c0de"\r'],
      ['tx', 'AT+QISENDEX=0,"c0de"\r'],
    ]);
    const hidden = textOf(hide(DIALECT_NAMES, log));
    expect(hidden).not.toMatch(/4711|c0de/);
    expect(hidden.length).toBe(textOf(log).length);
    expect(hidden).toContain('AT+USOST=0,"100.64.0.1",6969,2,"FFFF"\r');
  });

  it('starts with a complete command, also after a gap, as the rest of a payload may precede it', () => {
    const mask = createPayloadMask([DIALECTS.quectel.grammar]);
    const shown = (direction: LogChunk['direction'], text: string) =>
      mask.hide({ at: 0, direction, bytes: Buffer.from(text) })?.bytes.toString();
    expect(shown('rx', 'secret')).toBeUndefined();
    expect(shown('tx', 'secret')).toBeUndefined();
    expect(shown('tx', 'AT+QIRD=0\r')).toBe('AT+QIRD=0\r');
    expect(shown('rx', '\r\n+QIRD: 6,"1.2.3.4",5\r\nsec')).toBe('\r\n+QIRD: 6,"1.2.3.4",5\r\nFFF');
    mask.restart();
    expect(shown('rx', 'ret\r\n')).toBeUndefined();
    expect(shown('tx', 'AT\r')).toBe('AT\r');
  });

  it('hides a written payload and its echo', () => {
    const log = chunksOf([
      ['tx', 'AT+QISEND=0,6,"100.64.0.1",6969\r'],
      ['rx', '\r\n> '],
      ['tx', 'secret'],
      ['rx', 'secret\r\nSEND OK\r\n'],
    ]);
    const hidden = hide(['quectel'], log);
    expect(textOf(hidden)).not.toContain('secret');
    expect(observe('quectel', hidden)).toEqual(observe('quectel', log));
  });
});
