import type { DiscardReason } from '../../transport.js';

/** Longest line, in bytes without its end. */
export const MAX_LINE = 2048;
/** Most payload bytes that a header may announce. */
export const MAX_PAYLOAD = 2048;
/** A payload is abandoned when no byte of it arrives for this long, in milliseconds. */
export const PAYLOAD_IDLE_MS = 2000;
/** Most bytes that are no text in one discarded unit. */
const MAX_NOISE = 256;
/** Longest header within a line: address, port, count and punctuation. */
const MAX_INLINE_HEADER = 96;

/** What a line announces about the raw bytes that follow it. */
export interface Header {
  /** Payload bytes; in hexadecimal, twice as many are received. */
  readonly length: number;
  readonly hex?: boolean;
  /** A quotation mark follows the payload, and belongs to it. */
  readonly quoted?: boolean;
  /** Undefined where the modem does not name it. */
  readonly socket?: number;
  readonly address?: string;
  readonly port?: number;
  /** Whether it answers the command in flight, or is unsolicited. */
  readonly from: 'read' | 'push';
  /** Bytes at the end of the matched text that belong to the payload already. */
  readonly ahead?: number;
}

/** One unit of the modem's output. */
export type ParsedUnit =
  | { readonly type: 'line'; readonly text: string }
  | { readonly type: 'prompt' }
  | { readonly type: 'payload'; readonly header: Header; readonly bytes: Buffer }
  /** The complete echo of the payload that was written. */
  | { readonly type: 'payload-echo'; readonly bytes: Buffer }
  | { readonly type: 'discarded'; readonly bytes: Buffer; readonly reason: DiscardReason };

/** What may come next: the same text has different meanings, and the command in flight decides which. */
export interface Expectation {
  /** Whether the command in flight waits for the modem's prompt for a payload. */
  readonly prompt: boolean;
  /** Returns the header that a complete line is. */
  header(line: string): Header | undefined;
  /** Returns the header that the beginning of a line is, for dialects whose payload starts within the line. */
  readonly inline: ((beginning: string) => Header | undefined) | undefined;
}

const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;
const PLUS = 0x2b;
const QUOTE = 0x22;
const PROMPTS: readonly number[] = [0x3e, 0x40];
const HEX = /^(?:[0-9a-f]{2})*$/i;

const isText = (byte: number) => (byte >= SPACE && byte <= 0x7e) || byte === 0x09;

/** Creates a parser that takes bytes in any chunking and returns units. It buffers at most one line or one payload. */
export function createParser() {
  let input: Buffer = Buffer.alloc(0);
  let at = 0;
  const line = Buffer.alloc(MAX_LINE);
  let size = 0;
  /** Whether a CR follows the line. */
  let ended = false;
  /** Whether the rest of a line that is too long is being discarded. */
  let overlong = false;
  const noise = Buffer.alloc(MAX_NOISE);
  let noiseSize = 0;
  let raw: { readonly header: Header; readonly bytes: Buffer; filled: number } | undefined;
  /** A byte to skip if it is the very next: the space of a prompt, the quotation mark of a payload. */
  let optional: number | undefined;
  let echo: { readonly bytes: Buffer; matched: number } | undefined;

  const discard = (bytes: Buffer, reason: DiscardReason): ParsedUnit => ({
    type: 'discarded',
    bytes: Buffer.from(bytes),
    reason,
  });

  function takeNoise(): ParsedUnit {
    const unit = discard(noise.subarray(0, noiseSize), 'noise');
    noiseSize = 0;
    return unit;
  }

  function takeLine(reason: DiscardReason): ParsedUnit {
    const unit = discard(line.subarray(0, size), reason);
    size = 0;
    ended = false;
    return unit;
  }

  /** Puts bytes back before the unread ones. */
  function unread(bytes: Buffer): void {
    input = at >= input.length ? bytes : Buffer.concat([bytes, input.subarray(at)]);
    at = 0;
  }

  function begin(header: Header, text: string): ParsedUnit | undefined {
    raw = { header, bytes: Buffer.alloc(header.hex ? 2 * header.length : header.length), filled: 0 };
    size = 0;
    ended = false;
    if (header.ahead !== undefined) unread(Buffer.from(text.slice(-header.ahead), 'latin1'));
    return undefined;
  }

  function complete({ header, bytes }: NonNullable<typeof raw>): ParsedUnit {
    raw = undefined;
    optional = header.quoted ? QUOTE : undefined;
    if (!header.hex) return { type: 'payload', header, bytes };
    const digits = bytes.toString('latin1');
    return HEX.test(digits)
      ? { type: 'payload', header, bytes: Buffer.from(digits, 'hex') }
      : discard(bytes, 'not-hexadecimal');
  }

  function takeRaw(payload: NonNullable<typeof raw>): ParsedUnit | undefined {
    const copied = input.copy(payload.bytes, payload.filled, at);
    at += copied;
    payload.filled += copied;
    return payload.filled === payload.bytes.length ? complete(payload) : undefined;
  }

  function endLine(expectation: Expectation): ParsedUnit | undefined {
    ended = false;
    if (overlong) {
      overlong = false;
      return size > 0 ? takeLine('line-too-long') : undefined;
    }
    if (size === 0) return undefined;
    const bytes = line.subarray(0, size);
    if (!bytes.every(isText)) return takeLine('not-text');
    const text = bytes.toString('latin1');
    const header = expectation.header(text);
    if (header !== undefined) return begin(header, text);
    size = 0;
    return { type: 'line', text };
  }

  /** Compares with the payload that was written; bytes that turn out not to be its echo are read again. */
  function matchEcho(byte: number): 'matched' | 'whole' | 'other' {
    if (echo === undefined) return 'other';
    const { bytes, matched } = echo;
    if (bytes[matched] === byte) {
      echo.matched++;
      if (echo.matched < bytes.length) return 'matched';
      echo = undefined;
      return 'whole';
    }
    if (matched === 0) return 'other';
    at--;
    unread(bytes.subarray(0, matched));
    at++;
    echo.matched = 0;
    return 'other';
  }

  function takeByte(expectation: Expectation): ParsedUnit | undefined {
    let byte = input[at++] ?? 0;
    if (size === 0 && echo !== undefined && !overlong && noiseSize === 0) {
      const { bytes } = echo;
      const match = matchEcho(byte);
      if (match === 'matched') return undefined;
      if (match === 'whole') return { type: 'payload-echo', bytes };
      byte = input[at - 1] ?? 0;
    }
    if (optional !== undefined) {
      const passed = byte === optional;
      optional = undefined;
      if (passed) return undefined;
    }
    if (
      expectation.inline !== undefined &&
      line[0] === PLUS &&
      size > 0 &&
      size < MAX_INLINE_HEADER &&
      !ended &&
      !overlong
    ) {
      const text = line.toString('latin1', 0, size) + String.fromCharCode(byte);
      const header = expectation.inline(text);
      if (header !== undefined) return begin(header, text);
    }
    if (byte === LF) return noiseSize > 0 ? retryAfter(takeNoise()) : endLine(expectation);
    if (byte === CR) {
      ended = true;
      return noiseSize > 0 ? takeNoise() : undefined;
    }
    if (ended) return retryAfter(endLine(expectation));
    if (size === 0 && !overlong) {
      if (!isText(byte)) {
        noise[noiseSize++] = byte;
        return noiseSize === MAX_NOISE ? takeNoise() : undefined;
      }
      if (noiseSize > 0) return retryAfter(takeNoise());
      if (expectation.prompt && PROMPTS.includes(byte)) {
        optional = SPACE;
        return { type: 'prompt' };
      }
    }
    line[size++] = byte;
    if (size < MAX_LINE) return undefined;
    overlong = true;
    return takeLine('line-too-long');
  }

  /** Reads the last byte again: it ended the unit and is not part of it. */
  function retryAfter(unit: ParsedUnit | undefined): ParsedUnit | undefined {
    at--;
    return unit;
  }

  return {
    /** Takes a chunk; call {@link next} until it returns undefined. */
    feed(bytes: Buffer): void {
      input = at >= input.length ? bytes : Buffer.concat([input.subarray(at), bytes]);
      at = 0;
    },

    /** Returns the next unit; undefined when more bytes are needed. The expectation may change between units. */
    next(expectation: Expectation): ParsedUnit | undefined {
      while (at < input.length) {
        const unit = raw === undefined ? takeByte(expectation) : takeRaw(raw);
        if (unit !== undefined) return unit;
      }
      return undefined;
    },

    /** Skips the echo of a payload that was written. Only for a modem that is known to echo it. */
    expectEcho(bytes: Buffer): void {
      if (bytes.length > 0) echo = { bytes, matched: 0 };
    },

    /** Stops waiting for the echo; what looked like its beginning is read again. */
    forgetEcho(): void {
      const held = echo?.bytes.subarray(0, echo.matched);
      echo = undefined;
      if (held !== undefined && held.length > 0) unread(held);
    },

    unread,

    /** Returns the origin of an incomplete payload. */
    waitsFor: (): Header['from'] | undefined => raw?.header.from,

    /** Discards an incomplete line or payload: the rest will not arrive. */
    abandon(): ParsedUnit[] {
      const units: ParsedUnit[] = [];
      if (raw !== undefined && raw.filled > 0) units.push(discard(raw.bytes.subarray(0, raw.filled), 'incomplete'));
      if (noiseSize > 0) units.push(takeNoise());
      if (size > 0) units.push(takeLine(overlong ? 'line-too-long' : 'incomplete'));
      raw = undefined;
      echo = undefined;
      optional = undefined;
      overlong = false;
      ended = false;
      return units;
    },
  };
}
