import type { DiscardReason } from '../../transport.js';

/** Longest line, in bytes without its end. */
export const MAX_LINE = 2048;
/** Most payload bytes that a header may announce. */
export const MAX_PAYLOAD = 2048;
/** A payload whose bytes stop coming for longer, in milliseconds, is not going on. */
export const PAYLOAD_IDLE_MS = 2000;
/** How many bytes that are no text are gathered into one discarded unit. */
const MAX_NOISE = 256;
/** A header within a line is shorter: address, port, count and the punctuation. */
const MAX_INLINE_HEADER = 96;

/** What a line says about the raw bytes that follow it. */
export interface Header {
  /** Payload bytes; twice as many come when they are written in hexadecimal. */
  readonly length: number;
  readonly hex?: boolean;
  /** A quotation mark follows the payload, and belongs to it. */
  readonly quoted?: boolean;
  /** Undefined where the modem does not tell. */
  readonly socket?: number;
  readonly address?: string;
  readonly port?: number;
  /** Whether it answers the command in flight, or comes unasked. */
  readonly from: 'read' | 'push';
  /** How many bytes at the end of the text that was matched are no part of the header: the payload has begun. */
  readonly ahead?: number;
}

/** What the parser makes of the bytes. */
export type Unit =
  | { readonly type: 'line'; readonly text: string }
  | { readonly type: 'prompt' }
  | { readonly type: 'payload'; readonly header: Header; readonly bytes: Buffer }
  /** The payload that was written came back whole. */
  | { readonly type: 'payload-echo'; readonly bytes: Buffer }
  | { readonly type: 'discarded'; readonly bytes: Buffer; readonly reason: DiscardReason };

/** What may come next. The same text means different things, and the command in flight decides which. */
export interface Expectation {
  /** A command that is to be followed by a payload waits for the modem to ask for it. */
  readonly prompt: boolean;
  /** The header that a complete line is. */
  header(line: string): Header | undefined;
  /** The header that a line's beginning is, for dialects whose payload starts within the line. */
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

/** Bytes in any chunking in, units out. It keeps at most one line or one payload. */

export function createParser() {
  let input: Buffer = Buffer.alloc(0);
  let at = 0;
  const line = Buffer.alloc(MAX_LINE);
  let size = 0;
  /** A CR has come behind the line. */
  let ended = false;
  /** The rest of a line that is too long is thrown away. */
  let overlong = false;
  const noise = Buffer.alloc(MAX_NOISE);
  let noiseSize = 0;
  let raw: { readonly header: Header; readonly bytes: Buffer; filled: number } | undefined;
  /** A byte that is passed over when it is the very next: the space of a prompt, the quotation mark of a payload. */
  let optional: number | undefined;
  let echo: { readonly bytes: Buffer; matched: number } | undefined;

  const discard = (bytes: Buffer, reason: DiscardReason): Unit => ({
    type: 'discarded',
    bytes: Buffer.from(bytes),
    reason,
  });

  function takeNoise(): Unit {
    const unit = discard(noise.subarray(0, noiseSize), 'noise');
    noiseSize = 0;
    return unit;
  }

  function takeLine(reason: DiscardReason): Unit {
    const unit = discard(line.subarray(0, size), reason);
    size = 0;
    ended = false;
    return unit;
  }

  /** Puts bytes back before those that are still to be read. */
  function unread(bytes: Buffer): void {
    input = at >= input.length ? bytes : Buffer.concat([bytes, input.subarray(at)]);
    at = 0;
  }

  function begin(header: Header, text: string): Unit | undefined {
    raw = { header, bytes: Buffer.alloc(header.hex ? 2 * header.length : header.length), filled: 0 };
    size = 0;
    ended = false;
    if (header.ahead !== undefined) unread(Buffer.from(text.slice(-header.ahead), 'latin1'));
    return undefined;
  }

  function complete({ header, bytes }: NonNullable<typeof raw>): Unit {
    raw = undefined;
    optional = header.quoted ? QUOTE : undefined;
    if (!header.hex) return { type: 'payload', header, bytes };
    const digits = bytes.toString('latin1');
    return HEX.test(digits)
      ? { type: 'payload', header, bytes: Buffer.from(digits, 'hex') }
      : discard(bytes, 'not-hexadecimal');
  }

  function takeRaw(payload: NonNullable<typeof raw>): Unit | undefined {
    const copied = input.copy(payload.bytes, payload.filled, at);
    at += copied;
    payload.filled += copied;
    return payload.filled === payload.bytes.length ? complete(payload) : undefined;
  }

  function endLine(expectation: Expectation): Unit | undefined {
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

  /** Compares with the payload that was written; what turns out not to be its echo is read again as what it is. */
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

  function takeByte(expectation: Expectation): Unit | undefined {
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

  /** The byte that ended something is not part of it, and is read again. */
  function retryAfter(unit: Unit | undefined): Unit | undefined {
    at--;
    return unit;
  }

  return {
    /** Takes a chunk; {@link next} is to be called until it gives nothing more. */
    feed(bytes: Buffer): void {
      input = at >= input.length ? bytes : Buffer.concat([input.subarray(at), bytes]);
      at = 0;
    },

    /** The next unit; undefined when more bytes are needed. What is expected may change from one to the next. */
    next(expectation: Expectation): Unit | undefined {
      while (at < input.length) {
        const unit = raw === undefined ? takeByte(expectation) : takeRaw(raw);
        if (unit !== undefined) return unit;
      }
      return undefined;
    },

    /** A payload was written whose echo is to be passed over. Only for a modem that is known to echo it. */
    expectEcho(bytes: Buffer): void {
      if (bytes.length > 0) echo = { bytes, matched: 0 };
    },

    /** The echo will not come any more; what had looked like its beginning is read as what it is. */
    forgetEcho(): void {
      const held = echo?.bytes.subarray(0, echo.matched);
      echo = undefined;
      if (held !== undefined && held.length > 0) unread(held);
    },

    unread,

    /** Where a payload that has not come whole is from. */
    waitsFor: (): Header['from'] | undefined => raw?.header.from,

    /** Gives up what is not complete: the rest will not come. */
    abandon(): Unit[] {
      const units: Unit[] = [];
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
