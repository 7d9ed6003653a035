/** Most that is kept of what was said. */
const MAX_RECORDS = 4000;
const MAX_BYTES = 262_144;
/** A payload has come within so many of the last records, and bytes, unless it came byte by byte and slowly. */
const MASK_RECORDS = 2000;
const MASK_BYTES = 8192;
/** What stands in a payload's place: as many bytes, none of which means anything. */
const MASK = 0x2e;
/** u-blox gives a longer payload in parts. */
const PART_BYTES = 1024;
const PIN_COMMAND = /^(AT\+CPIN=)(.*)(\r)$/s;

export type Direction = 'tx' | 'rx';

/** One piece of AT traffic; where one ends and the next begins means nothing. */
export interface TrafficRecord {
  /** Milliseconds of the monotonic clock. */
  readonly t: number;
  readonly dir: Direction;
  readonly hex: string;
}

interface Kept {
  readonly t: number;
  readonly dir: Direction;
  readonly bytes: Buffer;
  /** The same without payloads. */
  readonly masked: Buffer;
}

/** The last of what was said to the modem and by it. */
export type Traffic = ReturnType<typeof createTraffic>;

export function createTraffic(now: () => number = () => performance.now()) {
  const records: Kept[] = [];
  let size = 0;

  function add(dir: Direction, bytes: Buffer, masked: Buffer): void {
    records.push({ t: now(), dir, bytes, masked });
    size += bytes.length;
    while (records.length > MAX_RECORDS || size > MAX_BYTES) size -= records.shift()?.bytes.length ?? size;
  }

  return {
    sent(bytes: Buffer, isPayload: boolean): void {
      const shown = withoutPin(bytes);
      add('tx', shown, isPayload ? Buffer.alloc(shown.length, MASK) : shown);
    },

    came: (bytes: Buffer): void => add('rx', bytes, Buffer.from(bytes)),

    /** These bytes, which have come last, are a payload. */
    hide(payload: Buffer): void {
      const last = lastReceived(records);
      if (mask(last, payload)) return;
      for (let at = 0; at < payload.length; at += PART_BYTES) mask(last, payload.subarray(at, at + PART_BYTES));
    },

    /** @param payloads whether payloads are shown; else there are as many dots */
    records: (payloads: boolean): readonly TrafficRecord[] =>
      records.map(({ t, dir, bytes, masked }) => ({ t, dir, hex: (payloads ? bytes : masked).toString('hex') })),
  };
}

/** @returns whether the payload was there in one piece */
function mask(last: readonly Kept[], payload: Buffer): boolean {
  const start = Buffer.concat(last.map(({ bytes }) => bytes)).lastIndexOf(payload);
  if (start < 0 || payload.length === 0) return false;
  let at = 0;
  for (const { masked } of last) {
    masked.fill(MASK, clamp(start - at, masked.length), clamp(start + payload.length - at, masked.length));
    at += masked.length;
  }
  return true;
}

function lastReceived(records: readonly Kept[]): readonly Kept[] {
  const last: Kept[] = [];
  let bytes = 0;
  for (let index = records.length - 1; index >= 0 && last.length < MASK_RECORDS && bytes < MASK_BYTES; index--) {
    const record = records[index];
    if (record?.dir !== 'rx') continue;
    last.unshift(record);
    bytes += record.bytes.length;
  }
  return last;
}

const clamp = (index: number, length: number): number => Math.max(0, Math.min(index, length));

/** The SIM's PIN is never kept. */
export function withoutPin(bytes: Buffer): Buffer {
  const [, command = '', pin, end = ''] = PIN_COMMAND.exec(bytes.toString('latin1')) ?? [];
  return pin === undefined ? bytes : Buffer.from(`${command}${'*'.repeat(pin.length)}${end}`, 'latin1');
}
